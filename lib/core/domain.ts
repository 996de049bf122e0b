/** One SIP domain as the use-cases see it: who its registrar is and where its PBX stands. */
import type { Registration } from './modes.ts';

export interface DigestSecrets {
  /** HA1 = hash(user:realm:password), lower-case hexadecimal */
  readonly md5?: string;
  readonly sha256?: string;
}

export interface Domain {
  /** lower case; `*` serves every domain that is not named */
  readonly name: string;
  /** path: the PBX accepts REGISTERs and keeps the phone's Contact (mode P); mid-registrar: it keeps one of ours (M); registrar: the edge accepts (R) */
  readonly registration: Registration;
  /** a phone that does not say `Supported: path` where Path is needed */
  readonly withoutPath: 'accept' | 'refuse';
  /** path: `Require: path` in the REGISTER to the PBX, so that one without Path says 420 instead of going past the edge */
  readonly requirePath: boolean;
  /** path: what becomes of a REGISTER to which the PBX says 420: it passes back, or the phone is served as by a mid-registrar */
  readonly pbxWithoutPath: 'refuse' | 'mid-registrar';
  /** registrar: phones are told to send their own requests through the edge (RFC 3608) */
  readonly serviceRoute: boolean;
  /** next hop towards the PBX, `sip:host[:port][;transport=t]`; a name is followed by the engine (RFC 3263) */
  readonly upstream: string;
  /** how the PBX reaches the edge: `host:port;transport=t`, what follows the `@` of the edge's own Contact */
  readonly edgeHost: string;
  /** realm of the edge's own challenges and of the secrets of its users */
  readonly realm: string;
  readonly algorithms: readonly ('SHA-256' | 'MD5')[];
  /** registrar users from the configuration; more may be in the store */
  readonly users: ReadonlyMap<string, DigestSecrets>;
}
