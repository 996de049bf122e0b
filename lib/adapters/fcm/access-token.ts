/**
 * The OAuth access token of one service account (RFC 7523). google-auth-library signs the assertion and asks for the token; when
 * and how long is ours: it gives up after a time limit, refreshes in the background, and keeps the old token in use until its
 * end when the token endpoint fails.
 */
import { gaxios, JWT } from 'google-auth-library';
import { type Dispatcher, fetch } from 'undici';
import type { Credential, CredentialSource } from '../../delivery/delivery.ts';
import type { Clock } from '../../ports/clock.ts';

export interface ServiceAccount {
  readonly clientEmail: string;
  /** RSA private key in PEM */
  readonly privateKey: string;
  readonly projectId: string;
  /** where tokens are given out */
  readonly tokenUri: string;
}

const scope = 'https://www.googleapis.com/auth/firebase.messaging';
/** Longest wait for one answer of the token endpoint, ms. */
const answerMs = 5000;
/** Part of a token's life after which the next one is fetched. */
const refreshAt = 0.75;
/** Pauses between failed refreshes, ms. */
const firstPause = 1000;
const longestPause = 60_000;
/** A token that ends sooner than this is not begun a push with, ms. */
const slack = 2000;

interface Token extends Credential {
  readonly obtainedAt: number;
  readonly expiresAt: number;
}

export class AccessTokenSource implements CredentialSource {
  readonly #account: ServiceAccount;
  readonly #clock: Clock;
  readonly #dispatcher: Dispatcher | undefined;
  #token: Token | undefined;
  #generation = 0;
  #underWay: Promise<boolean> | undefined;
  #pause = 0;
  #quietUntil = 0;
  /** why the last attempt failed; no secret is in it */
  trouble = 'no access token yet';
  #isRefused = false;

  constructor(account: ServiceAccount, clock: Clock, dispatcher?: Dispatcher) {
    this.#account = account;
    this.#clock = clock;
    this.#dispatcher = dispatcher;
  }

  /** Of the token in use, ms since the epoch; undefined before the first. */
  get life(): { readonly madeAt: number; readonly endsAt: number } | undefined {
    return this.#token === undefined ? undefined : { madeAt: this.#token.obtainedAt, endsAt: this.#token.expiresAt };
  }

  /** Resolves when there is a token to use, false when there is none and the endpoint gives none. At once while one is good. */
  async ready(): Promise<boolean> {
    const now = this.#clock.now();
    if (this.#isGood(now)) return true;
    return this.#refresh(now);
  }

  /**
   * After `ready` said false: when the endpoint may be asked again, ms since the epoch. Undefined when it refuses this account:
   * waiting does not help then.
   */
  get askAgainAt(): number | undefined {
    return this.#isRefused ? undefined : this.#quietUntil;
  }

  current(now: number): Credential {
    const token = this.#token;
    if (token === undefined) return { generation: 0, text: '' };
    const life = token.expiresAt - token.obtainedAt;
    if (now - token.obtainedAt >= life * refreshAt || now < token.obtainedAt) void this.#refresh(now);
    return token;
  }

  async expired(generation: number, now: number): Promise<'retry' | 'useless'> {
    // somebody else has fetched a new one meanwhile
    if (this.#token !== undefined && this.#token.generation !== generation) return 'retry';
    return (await this.#refresh(now, true)) ? 'retry' : 'useless';
  }

  tooMany(): void {
    this.#quietUntil = this.#clock.now() + longestPause;
  }

  #isGood(now: number): boolean {
    return this.#token !== undefined && now < this.#token.expiresAt - slack;
  }

  /** One request at a time, whoever asks. True when there is a token to use afterwards. */
  #refresh(now: number, forced = false): Promise<boolean> {
    if (this.#underWay !== undefined) return this.#underWay;
    if (now < this.#quietUntil && !forced) return Promise.resolve(this.#isGood(now));
    this.#underWay = this.#fetch()
      .then(
        (token) => {
          this.#token = token;
          this.#pause = 0;
          this.#quietUntil = 0;
          this.#isRefused = false;
          return true;
        },
        (error: unknown) => {
          const status = statusOf(error);
          this.trouble = troubleOf(error, status);
          this.#isRefused = status !== undefined && status >= 400 && status < 500 && status !== 408 && status !== 429;
          const at = this.#clock.now();
          const isGood = this.#isGood(at);
          // without a token nothing can be pushed: then there is no reason to spare the endpoint for long
          this.#pause = isGood ? Math.min(longestPause, Math.max(firstPause, this.#pause * 2)) : firstPause;
          const end = (this.#token?.expiresAt ?? 0) - slack;
          this.#quietUntil = at + (isGood ? Math.min(this.#pause, Math.max(firstPause, end - at)) : this.#pause);
          return !forced && isGood;
        },
      )
      .finally(() => {
        this.#underWay = undefined;
      });
    return this.#underWay;
  }

  async #fetch(): Promise<Token> {
    const { clientEmail, privateKey, tokenUri } = this.#account;
    const dispatcher = this.#dispatcher;
    const transporter = new gaxios.Gaxios({
      retryConfig: { retry: 0, noResponseRetries: 0 },
      // the library knows one endpoint only, and waits for ever
      fetchImplementation: (async (_url: unknown, init: Parameters<typeof fetch>[1]) =>
        fetch(tokenUri, {
          ...init,
          redirect: 'error',
          signal: AbortSignal.timeout(answerMs),
          ...(dispatcher === undefined ? {} : { dispatcher }),
        })) as never,
    });
    // a new one for each token: it keeps what it has, and we keep it longer
    const jwt = new JWT({
      email: clientEmail,
      key: privateKey,
      scopes: [scope],
      transporter,
      additionalClaims: { aud: tokenUri },
    });
    const { access_token: text, expiry_date: expiresAt } = await jwt.authorize();
    if (typeof text !== 'string' || text === '') throw new Error('the answer has no access token');
    this.#generation += 1;
    const obtainedAt = this.#clock.now();
    return {
      generation: this.#generation,
      text,
      obtainedAt,
      // the library reckons by the clock of the machine
      expiresAt: obtainedAt + (typeof expiresAt === 'number' ? expiresAt - Date.now() : 3_600_000),
    };
  }
}

function statusOf(error: unknown): number | undefined {
  const status = (error as { readonly status?: unknown } | undefined)?.status;
  const response = (error as { readonly response?: { readonly status?: unknown } } | undefined)?.response?.status;
  return typeof response === 'number' ? response : typeof status === 'number' ? status : undefined;
}

/** The status, or the kind of failure; never what was sent or answered. */
function troubleOf(error: unknown, status: number | undefined): string {
  if (status !== undefined) return `token endpoint answered ${status}`;
  return error instanceof Error && error.name === 'TimeoutError'
    ? 'token endpoint gave no answer in time'
    : 'token endpoint not reached';
}
