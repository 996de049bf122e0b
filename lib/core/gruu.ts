/**
 * Globally routable URIs of one phone (RFC 5627): the public one names the instance openly, the temporary ones hide user and phone and
 * live as long as the registration keeps its Call-ID. Both are functions of what the registrar knows anyway, so nothing is stored.
 */
import { createHash } from 'node:crypto';
import { findParam, type SipUri, unescape } from '../sip/uri.ts';
import type { Aor, Binding } from './binding.ts';
import { instanceName } from './binding-set.ts';
import { openContact, sealContact } from './contact-token.ts';

export interface Registration {
  readonly aor: Aor;
  readonly instanceId: string;
  readonly callId: string;
  readonly cseq: number;
}

/** A new temporary one for every REGISTER; the older ones stay good until the Call-ID changes (RFC 5627 5.1, PN-INT-11). */
export function gruus(key: Buffer, of: Registration): { readonly pub: string; readonly temp: string } {
  const host = of.aor.slice(of.aor.lastIndexOf('@') + 1);
  const cseq = (of.cseq >>> 0).toString(16).padStart(8, '0');
  const hidden = sealContact(key, {
    aor: of.aor,
    bindingId: `${instanceName(of.instanceId)}${callName(of.callId)}${cseq}`,
  });
  return {
    pub: `sip:${of.aor};gr=${escapeParam(of.instanceId)}`,
    temp: `sip:${hidden}@${host};gr`,
  };
}

/** Whom a GRUU names. */
export interface Named {
  readonly aor: Aor;
  /** see binding-set `answersTo` */
  readonly phone: string;
  /** temporary: good for registrations of this Call-ID only */
  readonly call: string | undefined;
}

/** undefined: no GRUU at all; 'unknown': one that was never given out (404, RFC 5627 6.1). `aor`: what the URI says without `gr`. */
export function readGruu(key: Buffer, uri: SipUri, aor: Aor): Named | 'unknown' | undefined {
  const gr = findParam(uri.params, 'gr');
  if (gr === undefined) return undefined;
  if (gr.value !== undefined && gr.value !== '') {
    const instanceId = unescape(gr.value);
    if (!/^urn:./i.test(instanceId)) return 'unknown';
    const plain = /^urn:uuid:/i.test(instanceId) ? instanceId.toLowerCase() : instanceId;
    return { aor, phone: instanceName(plain), call: undefined };
  }
  const opened = openContact(key, unescape(uri.user ?? ''));
  if (opened?.bindingId.length !== nameLength + callLength + 8) return 'unknown';
  return {
    aor: opened.aor,
    phone: opened.bindingId.slice(0, nameLength),
    call: opened.bindingId.slice(nameLength, nameLength + callLength),
  };
}

/** Whether a temporary GRUU is still good for this binding. */
export function isOfCall(binding: Binding, call: string): boolean {
  return callName(binding.callId) === call;
}

const nameLength = 20;
const callLength = 16;

function callName(callId: string): string {
  return createHash('sha256').update(`call ${callId}`).digest('hex').slice(0, callLength);
}

function escapeParam(value: string): string {
  return value.replace(/[^A-Za-z0-9\-_.!~*'()[\]/:&+$]/gu, escaped);
}

function escaped(c: string): string {
  return [...Buffer.from(c, 'latin1')].map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}
