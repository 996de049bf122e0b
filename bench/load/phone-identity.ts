/** Who the phones of the load are: AOR, instance-id and push resource of the nth one, and the header lines all its REGISTERs share. */

export const benchDomain = 'bench.test';
/** what the push app of the measured edge is configured for */
export const benchBundle = 'com.example.bench';
export const benchPassword = 'bench-password';

export interface PhoneIdentity {
  readonly index: number;
  readonly user: string;
  /** 64 hexadecimal digits that tell the index */
  readonly token: string;
  readonly instanceId: string;
}

export function phoneIdentity(index: number): PhoneIdentity {
  const hex = index.toString(16).padStart(8, '0');
  return {
    index,
    user: `u${index}`,
    token: hex + 'be7c'.repeat(14),
    instanceId: `urn:uuid:${hex}-0000-4000-8000-00000000be7c`,
  };
}

export function indexOfToken(token: string): number {
  return Number.parseInt(token.slice(0, 8), 16);
}

/** Contact of a phone that listens at `local`, with push parameters when `team` names the push app. */
export function contactLine(
  phone: PhoneIdentity,
  local: string,
  transport: 'udp' | 'tcp',
  team: string | undefined,
): string {
  const push =
    team === undefined ? '' : `;pn-provider=apns;pn-param=${team}.${benchBundle}.voip;pn-prid=${phone.token}`;
  const over = transport === 'tcp' ? ';transport=tcp' : '';
  return `Contact: <sip:${phone.user}@${local}${over}${push}>;+sip.instance="<${phone.instanceId}>"\r\n`;
}

/** From, To and Call-ID of its REGISTERs. */
export function identityLines(phone: PhoneIdentity, callId = `reg-${phone.user}`): string {
  const aor = `<sip:${phone.user}@${benchDomain}>`;
  return `From: ${aor};tag=f${phone.index}\r\nTo: ${aor}\r\nCall-ID: ${callId}@phone\r\n`;
}
