/** Interim. */
import { Headers } from '../sip/headers.ts';
const hop = new Set(['via','route','record-route','path','max-forwards','contact','call-id','cseq','from','to','content-length','feature-caps','rseq','rack','require','supported','service-route']);
function pass(headers: Headers): Headers {
  const out = Headers.empty();
  for (const [name, value, key] of headers.entries()) if (!hop.has(key)) out.add(name, value);
  return out;
}
const untagged = (value: string): string => value.replace(/;\s*tag=[^;>]*$/i, '');
export function passInvite(headers: Headers, { to }: { readonly to?: string }): Headers {
  const out = pass(headers);
  out.add('From', untagged(headers.get('From') ?? ''));
  out.add('To', to ?? untagged(headers.get('To') ?? ''));
  out.add('Max-Forwards', String(Math.max(0, Number(headers.get('Max-Forwards') ?? 70) - 1)));
  return out;
}
export function passProgress(headers: Headers, withBody: boolean): Headers {
  const out = pass(headers);
  if (!withBody) for (const name of ['Content-Type', 'Content-Disposition', 'Content-Encoding']) out.delete(name);
  return out;
}
export const passAnswer = pass;
export const passInDialog = pass;
