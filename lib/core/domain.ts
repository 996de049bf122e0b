/** One SIP domain as the use-cases see it: who its registrar is and where its PBX stands. */
import type { Registration } from './modes.ts';
import type { Trunk } from './trunk-routes.ts';

export interface DigestSecrets {
  /** HA1 = hash(user:realm:password), lower-case hexadecimal */
  readonly md5?: string;
  readonly sha256?: string;
}

export interface Domain {
  /** lower case; `*` serves every domain that is not named */
  readonly name: string;
  /** the row of core/modes.ts that this domain is served by, or this one AOR of it */
  readonly registration: Registration;
  /** a phone that does not say `Supported: path` where Path is needed */
  readonly withoutPath: 'accept' | 'refuse';
  /** path: `Require: path` in the REGISTER to the PBX, so that one without Path says 420 instead of going past the edge */
  readonly requirePath: boolean;
  /** path: what becomes of a REGISTER to which the PBX says 420: it passes back, or the phone is served as by a mid-registrar */
  readonly pbxWithoutPath: 'refuse' | 'mid-registrar';
  /** registrar: phones are told to send their own requests through the edge (RFC 3608) */
  readonly serviceRoute: boolean;
  /** the PBX, as the next hop of requests for it, `sip:host[:port][;transport=t]`; which of its servers that is, lib/upstream knows */
  readonly upstream: string;
  /** when the servers behind `upstream` have changed for the last time, one up or down, ms since the epoch; 0 when left out */
  readonly upstreamChangedAt?: number;
  /** mid-registrar: the PBX is asked only so often, seconds; undefined: each time */
  readonly throttle?: { readonly upstreamExpires: number; readonly phoneExpires: number } | undefined;
  /** registrar: who may call users without being one, and which number is whom */
  readonly trunk?: Trunk | undefined;
  /** what the PBX is told while a phone wakes; nothing when left out */
  readonly earlyRinging?: 180 | 183 | undefined;
  /** how the PBX reaches the edge: `host:port;transport=t`, what follows the `@` of the edge's own Contact */
  readonly edgeHost: string;
  /** realm of the edge's own challenges and of the secrets of its users */
  readonly realm: string;
  readonly algorithms: readonly ('SHA-256' | 'MD5')[];
  /** registrar users from the configuration; more may be in the store */
  readonly users: ReadonlyMap<string, DigestSecrets>;
}
