/** One SIP domain as the use-cases see it: who its registrar is and where its PBX stands. */

export interface DigestSecrets {
  /** HA1 = hash(user:realm:password), lower-case hexadecimal */
  readonly md5?: string;
  readonly sha256?: string;
}

export interface Domain {
  /** lower case; `*` serves every domain that is not named */
  readonly name: string;
  /** mid-registrar: the PBX accepts REGISTERs (mode M); registrar: the edge does (mode R) */
  readonly registration: 'mid-registrar' | 'registrar';
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
