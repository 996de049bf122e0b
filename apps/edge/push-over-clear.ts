/** What becomes of push parameters that others can read on their way (RFC 8599 13): `auto` decides by what phones could do instead. */
import type { Config } from '../../lib/config/load.ts';
import { isPrivateAddress } from '../../lib/config/sip-schema.ts';
import type { Log } from '../../lib/ports/log.ts';
import type { RegisterPolicy } from '../../lib/register/read-register.ts';

/** `hostports`: as the engine tells its listeners, `transport/address:port`. */
export function pushOverClear(
  { pushOverClear: chosen }: Pick<Config['registration'], 'pushOverClear'>,
  hostports: readonly string[],
): RegisterPolicy['pushOverClear'] {
  if (chosen !== 'auto') return () => chosen;
  // without a listener for TLS a phone that is refused would be refused for good
  const hasTls = hostports.some((one) => /^(?:tls|wss)\//.test(one));
  return (address) => (hasTls && !isPrivateAddress(address) ? 'refuse' : 'accept');
}

/** Of a network that is nobody's own (RFC 5737). */
const publicAddress = '192.0.2.1';

export function warnOfClear(rule: RegisterPolicy['pushOverClear'], hostports: readonly string[], log: Log): void {
  const clear = hostports.filter((one) => /^(?:udp|tcp|ws)\//.test(one));
  if (rule(publicAddress) === 'accept' && clear.length > 0)
    log.warn(
      { local: clear.join(' ') },
      'push tokens may come in the clear here: offer TLS only to the public, or set registration.push_over_clear',
    );
}
