/**
 * The accounts the edge registers with at PBXs: those of the config, and those that were provisioned and lie in the store with their
 * passwords sealed. A name is in one of the two; the config wins.
 */
import type { Aor } from '../core/binding.ts';
import { type SealingKey, seal, unseal } from '../core/sealed-secret.ts';
import { keyedName } from '../core/short-name.ts';
import type { Ids } from '../ports/ids.ts';
import type { Log } from '../ports/log.ts';
import type { Records, StoredRecord } from '../ports/records.ts';
import type { Kept, KeptLogin } from './kept.ts';

/** What is known of an account without its passwords. */
export interface Account {
  readonly aor: Aor;
  /** as the PBX calls it: `sip:user@registrar` */
  readonly user: string;
  readonly registrar: string;
  readonly authUser: string;
  /** answer challenges of this realm only */
  readonly realm?: string;
  /** seconds asked for, where it is not what all are asked for */
  readonly expires?: number;
  /** phones use another password than the edge */
  readonly ownPhonePassword: boolean;
  /** removed: it is gone, and only its registration is still to be taken back */
  readonly source: 'config' | 'api' | 'removed';
  /** where its PBX was, of one that is gone */
  readonly formerHop?: string;
  /** The passwords, or why they cannot be had. */
  open(): Opened;
}

export type Opened =
  | { readonly is: 'open'; readonly password: string; readonly phonePassword: string }
  | { readonly is: 'locked'; readonly why: string };

/** An account as it is written down; `sealed` and `sealedPhone` are those of core/sealed-secret. */
interface StoredAccount {
  readonly user: string;
  readonly registrar: string;
  readonly authUser: string;
  readonly realm?: string;
  readonly expires?: number;
  readonly sealed: string;
  readonly sealedPhone?: string;
}

/** What somebody provisions. */
export interface NewAccount extends Omit<StoredAccount, 'sealed' | 'sealedPhone'> {
  readonly password: string;
  readonly phonePassword?: string;
}

export interface AccountsDeps {
  readonly records: Records;
  readonly ids: Ids;
  readonly log: Log;
  /** those of the config at the start */
  readonly configured: ReadonlyMap<Aor, Account>;
  /** the first one seals; none: nothing can be provisioned */
  readonly keys: readonly SealingKey[];
  /** secret of all nodes, for fingerprints */
  readonly secret: string;
}

const noKey =
  'there is no key to seal passwords with: set store.secret_key or store.secret_key_file, the same for all nodes';

export class Accounts {
  readonly #deps: AccountsDeps;
  /** those of the store, as far as this node has heard */
  readonly #stored = new Set<Aor>();
  #configured: ReadonlyMap<Aor, Account>;

  constructor(deps: AccountsDeps) {
    this.#deps = deps;
    this.#configured = deps.configured;
  }

  get configured(): ReadonlyMap<Aor, Account> {
    return this.#configured;
  }

  /** The accounts of a config that was read again. */
  configure(configured: ReadonlyMap<Aor, Account>): void {
    this.#configured = configured;
  }

  /** Whether there is one at all, as far as this node has heard. */
  get any(): boolean {
    return this.#configured.size + this.#stored.size > 0;
  }

  /** As far as this node has heard: provisioned at another one, some seconds later. */
  has(aor: Aor): boolean {
    return this.#configured.has(aor) || this.#stored.has(aor);
  }

  async read(aor: Aor): Promise<Account | undefined> {
    const configured = this.#configured.get(aor);
    if (configured !== undefined) return configured;
    const record = await this.#deps.records.read('account', aor);
    if (record === undefined) this.#stored.delete(aor);
    else this.#stored.add(aor);
    return record === undefined ? undefined : this.#accountOf(record);
  }

  /** Resolves with why not, in words for whoever asks. */
  async put(
    aor: Aor,
    account: NewAccount,
    only: 'new' | 'any',
  ): Promise<'created' | 'replaced' | { readonly why: string }> {
    if (this.#configured.has(aor)) return { why: `${aor} is an account of the configuration` };
    const [key] = this.#deps.keys;
    if (key === undefined) return { why: noKey };
    const { password, phonePassword, ...plain } = account;
    const stored: StoredAccount = {
      ...plain,
      sealed: seal(key, password, aor, this.#deps.ids.hex(12)),
      ...(phonePassword === undefined
        ? {}
        : { sealedPhone: seal(key, phonePassword, aboutPhone(aor), this.#deps.ids.hex(12)) }),
    };
    for (;;) {
      const before = await this.#deps.records.read('account', aor);
      if (before !== undefined && only === 'new') return { why: `${aor} has an account already` };
      const written = await this.#deps.records.swap('account', aor, before?.version ?? 0, JSON.stringify(stored));
      if (written === undefined) continue;
      this.#stored.add(aor);
      return before === undefined ? 'created' : 'replaced';
    }
  }

  async remove(aor: Aor): Promise<boolean> {
    for (;;) {
      const before = await this.#deps.records.read('account', aor);
      if (before === undefined) return false;
      if ((await this.#deps.records.swap('account', aor, before.version, undefined)) === undefined) continue;
      this.#stored.delete(aor);
      return true;
    }
  }

  /** Those of the store, in pages. */
  async scan(
    cursor: string,
    limit: number,
  ): Promise<{ readonly accounts: readonly Account[]; readonly next: string | undefined }> {
    const { records, next } = await this.#deps.records.scan('account', cursor, limit);
    const accounts = records.filter(({ name }) => !this.#configured.has(name)).map((each) => this.#accountOf(each));
    return { accounts, next };
  }

  /** Hears of what other nodes have provisioned, and seals anew what lies under an old key. Rejects when the store cannot be read. */
  async follow(): Promise<void> {
    const found = new Set<Aor>();
    let anew = 0;
    for (let cursor: string | undefined = ''; cursor !== undefined; ) {
      const page: Awaited<ReturnType<Records['scan']>> = await this.#deps.records.scan('account', cursor, 500);
      for (const record of page.records) {
        found.add(record.name);
        if (await this.#sealAnew(record)) anew += 1;
      }
      cursor = page.next;
    }
    for (const aor of this.#stored) if (!found.has(aor)) this.#stored.delete(aor);
    for (const aor of found) this.#stored.add(aor);
    if (anew > 0) this.#deps.log.info({ count: anew }, 'passwords of accounts sealed anew with the present key');
  }

  /** Changes when anything does that the PBX could notice. */
  fingerprint({ user, registrar, authUser, realm, expires, open }: Account): string {
    const opened = open();
    const password = opened.is === 'open' ? opened.password : '';
    return keyedName(this.#deps.secret, [user, registrar, authUser, realm, expires, password], 16);
  }

  /** What a registration can be taken back with when its account is gone; undefined: no key to seal it with, or no password. */
  keep(account: Account, nextHop: string | undefined, before: Kept | undefined): KeptLogin | undefined {
    const [key] = this.#deps.keys;
    const opened = account.open();
    if (key === undefined || opened.is === 'locked') return before?.login;
    // nothing has changed since, not the key either
    if (before?.login?.sealed.startsWith(`sealed.${key.name}.`) && before.account === this.fingerprint(account))
      return before.login;
    return {
      authUser: account.authUser,
      ...(account.realm === undefined ? {} : { realm: account.realm }),
      ...(nextHop === undefined ? {} : { nextHop }),
      sealed: seal(key, opened.password, aboutRegistration(account.aor), this.#deps.ids.hex(12)),
    };
  }

  /** The account a registration was made with, as far as it was kept. */
  former(aor: Aor, { identity, login }: Kept): Account | undefined {
    if (login === undefined) return undefined;
    const { authUser, realm, nextHop, sealed } = login;
    return {
      ...namesOf(identity),
      aor,
      authUser,
      ...(realm === undefined ? {} : { realm }),
      ...(nextHop === undefined ? {} : { formerHop: nextHop }),
      source: 'removed',
      ownPhonePassword: false,
      open: () => {
        const password = this.#open(sealed, aboutRegistration(aor));
        return typeof password === 'string'
          ? { is: 'open', password, phonePassword: password }
          : { is: 'locked', why: password.why };
      },
    };
  }

  async #sealAnew({ name: aor, version, value }: StoredRecord): Promise<boolean> {
    const [key] = this.#deps.keys;
    const stored = parse(value);
    if (key === undefined || stored === undefined) return false;
    const again = (sealed: string, about: string): string => {
      const opened = unseal(this.#deps.keys, sealed, about);
      return opened.is === 'opened' && opened.old ? seal(key, opened.text, about, this.#deps.ids.hex(12)) : sealed;
    };
    const sealed = again(stored.sealed, aor);
    const sealedPhone = stored.sealedPhone === undefined ? undefined : again(stored.sealedPhone, aboutPhone(aor));
    if (sealed === stored.sealed && sealedPhone === stored.sealedPhone) return false;
    const news = { ...stored, sealed, ...(sealedPhone === undefined ? {} : { sealedPhone }) };
    return (await this.#deps.records.swap('account', aor, version, JSON.stringify(news))) !== undefined;
  }

  #accountOf({ name: aor, value }: StoredRecord): Account {
    const stored = parse(value);
    const user = aor.slice(0, aor.lastIndexOf('@'));
    const {
      sealed = '',
      sealedPhone,
      ...plain
    } = stored ?? {
      user,
      authUser: user,
      registrar: aor.slice(aor.lastIndexOf('@') + 1),
    };
    return {
      ...plain,
      aor,
      source: 'api',
      ownPhonePassword: sealedPhone !== undefined,
      open: () => {
        const password = this.#open(sealed, aor);
        const phonePassword = sealedPhone === undefined ? password : this.#open(sealedPhone, aboutPhone(aor));
        if (typeof password !== 'string') return { is: 'locked', why: password.why };
        if (typeof phonePassword !== 'string') return { is: 'locked', why: phonePassword.why };
        return { is: 'open', password, phonePassword };
      },
    };
  }

  #open(sealed: string, about: string): string | { readonly why: string } {
    const opened = unseal(this.#deps.keys, sealed, about);
    switch (opened.is) {
      case 'opened':
        return opened.text;
      case 'unknown-key': {
        const known = this.#deps.keys.map(({ name }) => name).join(', ') || 'none';
        return {
          why: `the password is sealed with key ${opened.name}, this edge has ${known}: add that key to store.old_secret_keys, or provision the account anew`,
        };
      }
      case 'broken':
        return { why: 'the sealed password was changed or cut: provision the account anew' };
      default:
        return opened satisfies never;
    }
  }
}

function aboutPhone(aor: Aor): string {
  return `phone of ${aor}`;
}

function aboutRegistration(aor: Aor): string {
  return `registration of ${aor}`;
}

/** The names in what a PBX knows an account by. */
export function namesOf(identity: string): Pick<Account, 'user' | 'registrar'> {
  const [, user = '', registrar = ''] = /^sip:(.*)@([^@]*)$/s.exec(identity) ?? [];
  return { user, registrar: registrar.replace(/^\[|\]$/g, '') };
}

function parse(value: string): StoredAccount | undefined {
  try {
    return JSON.parse(value) as StoredAccount;
  } catch {
    return undefined;
  }
}
