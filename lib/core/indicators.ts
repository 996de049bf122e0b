/**
 * Which push types are indicated to whom (RFC 8599 5.4, 5.6.1): in the REGISTER towards the PBX, and in the 2xx to the phone.
 * The same types in both, one Feature-Caps field each; what only makes sense to the phone stands in the 2xx only.
 */
import type { PushFeatures } from '../sip/feature-caps.ts';
import type { Mode } from './modes.ts';
import { canBePushed, type RegisterDecision, type RegisterPolicy } from './register-decision.ts';

export interface Indicated {
  readonly decision: Exclude<RegisterDecision, { is: 'refuse' }>;
  /** seconds: asked for before the registrar has spoken, granted afterwards */
  readonly expires: number;
  /** reference to the binding for requests inside dialogs (RFC 8599 6.2.1); undefined: none is given */
  readonly purr?: string;
}

type Policy = Pick<RegisterPolicy, 'minExpires' | 'pushLeadSeconds' | 'slackSeconds'> & {
  /** value of sip.pnsreg, seconds */
  readonly pnsreg: number;
  /** VAPID public key by provider, for services that use it (PN-REG-11, -12) */
  readonly vapid: ReadonlyMap<string, string>;
};

/** For the REGISTER to the PBX (PN-REG-08, PN-QRY-02, -06). */
export function indicatedUpstream(contacts: readonly Indicated[], mode: Mode): readonly PushFeatures[] {
  return mode.indicatesUpstream ? unique(contacts.flatMap(({ decision }) => typesOf(decision))) : [];
}

/** For the 2xx: what was indicated, less the types of Contacts whose granted expiry is too short to be pushed (PN-REG-09, -10). */
export function indicatedInAnswer(granted: readonly Indicated[], policy: Policy): readonly PushFeatures[] {
  return unique(
    granted.flatMap(({ decision, expires, purr }): readonly PushFeatures[] => {
      if (expires <= 0) return [];
      const types = typesOf(decision).map((type) => withVapid(type, policy));
      if (decision.is !== 'push') return types;
      if (!canBePushed(expires, policy)) return [];
      return types.map((type) => ({
        ...type,
        ...(decision.pnsreg ? { pnsreg: policy.pnsreg } : {}),
        ...(purr === undefined ? {} : { pnspurr: purr }),
      }));
    }),
  );
}

function withVapid(type: PushFeatures, { vapid }: Policy): PushFeatures {
  const key = vapid.get(type.pns.toLowerCase());
  return key === undefined ? type : { ...type, vapid: key };
}

function typesOf(decision: Indicated['decision']): readonly PushFeatures[] {
  if (decision.is === 'query') return decision.announce.map((pns) => ({ pns }));
  return decision.is === 'push' && decision.announce !== undefined ? [{ pns: decision.announce }] : [];
}

/** One field for each type (PN-FC-01): two phones in one REGISTER that differ in pnsreg are told the one that asks for more. */
function unique(types: readonly PushFeatures[]): readonly PushFeatures[] {
  const byType = new Map<string, PushFeatures>();
  for (const type of types) byType.set(type.pns, { ...byType.get(type.pns), ...type });
  return [...byType.values()];
}
