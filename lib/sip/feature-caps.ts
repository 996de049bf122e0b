/** Feature-Caps of RFC 6809 with the indicators of RFC 8599 8.2 to 8.6: printed strictly, read leniently. */
import { unquote } from './auth.ts';
import { type Headers, split } from './headers.ts';

export interface PushFeatures {
  /** the provider as the phone spells it */
  readonly pns: string;
  /** VAPID public key, base64url without padding */
  readonly vapid?: string;
  /** seconds before expiry by which a self-waking phone refreshes */
  readonly pnsreg?: number;
  readonly pnspurr?: string;
}

/** One header value, one push type: `*;+sip.pns="apns";+sip.pnsreg="180"` (PN-FC-01 to -04). */
export function printFeatureCaps(features: PushFeatures): string {
  let text = `*;+sip.pns="${tagValue(features.pns)}"`;
  if (features.vapid !== undefined) text += `;+sip.vapid="${tagValue(features.vapid)}"`;
  if (features.pnsreg !== undefined) text += `;+sip.pnsreg="${features.pnsreg}"`;
  if (features.pnspurr !== undefined) text += `;+sip.pnspurr="${tagValue(features.pnspurr)}"`;
  return text;
}

/** Characters outside of the tag-value grammar (PN-FC-11) never leave the edge, whoever put them there. */
function tagValue(value: string): string {
  return value.replace(/[^A-Za-z0-9\-.%*_+'~`]/g, '');
}

/** Every push type indicated in the message: a missing `*`, several values in a line, unknown indicators and any order are fine. */
export function readFeatureCaps(headers: Headers): readonly PushFeatures[] {
  return headers.list('Feature-Caps').flatMap((value) => {
    const found = new Map<string, string>();
    for (const part of split(value, ';')) {
      const equals = part.indexOf('=');
      if (equals < 0) continue;
      const name = part.slice(0, equals).trim().toLowerCase().replace(/^\+/, '');
      if (!found.has(name)) found.set(name, unquote(part.slice(equals + 1).trim()));
    }
    const vapid = found.get('sip.vapid');
    const pnsreg = found.get('sip.pnsreg');
    const pnspurr = found.get('sip.pnspurr');
    return (found.get('sip.pns') ?? '')
      .split(',')
      .map((pns) => pns.trim())
      .filter((pns) => pns !== '')
      .map((pns) => ({
        pns,
        ...(vapid === undefined || vapid === '' ? {} : { vapid }),
        ...(pnsreg === undefined || !/^\d{1,9}$/.test(pnsreg) ? {} : { pnsreg: Number(pnsreg) }),
        ...(pnspurr === undefined || pnspurr === '' ? {} : { pnspurr }),
      }));
  });
}
