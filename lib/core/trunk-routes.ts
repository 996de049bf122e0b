/** Which user a call of a trunk is for: a number and a domain of the PBX become an AOR of ours. Pure. */
import type { Aor } from './binding.ts';
import { aorOf } from '../sip/aor.ts';

export interface TrunkRoute {
  /** host of the request-URI, in lower case; undefined: every host */
  readonly domain?: string | undefined;
  /** what the user part begins with */
  readonly prefix: string;
  /** so many characters are taken from its front */
  readonly strip: number;
  /** and this is put there */
  readonly add: string;
  /** domain of the AOR; that of the trunk when left out */
  readonly toDomain?: string | undefined;
}

export interface Trunk {
  /** ip: the addresses of the PBX. digest: a password of one of `users`, from any address. either: one of the two */
  readonly auth: 'ip' | 'digest' | 'either';
  /** digest users that are PBXs and no phones */
  readonly users: ReadonlySet<string>;
  readonly routes: readonly TrunkRoute[];
}

/**
 * The AOR that `user` at `host` stands for; undefined when no route fits, then it is called under the name it has. One that names the
 * host is taken before one for all hosts, then the longest prefix. `home`: the domain of the trunk.
 */
export function routeNumber(
  routes: readonly TrunkRoute[],
  { user, host }: { readonly user: string; readonly host: string },
  home: string,
): Aor | undefined {
  const fits = routes.filter(
    (route) => (route.domain === undefined || route.domain === host.toLowerCase()) && user.startsWith(route.prefix),
  );
  const [best] = fits.toSorted(
    (a, b) => Number(b.domain !== undefined) - Number(a.domain !== undefined) || b.prefix.length - a.prefix.length,
  );
  if (best === undefined) return undefined;
  const number = `${best.add}${user.slice(best.strip)}`;
  return number === '' ? undefined : aorOf(`sip:${number}@${best.toDomain ?? (home === '*' ? host : home)}`);
}
