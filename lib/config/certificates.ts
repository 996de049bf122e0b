/** The certificate of the edge, its key, and the CAs of a PBX: read at the start, and again when they change on disk. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readCertificates, readText, type Tell } from './files.ts';
import { statusOf } from './follow-files.ts';
import { Secret } from './secret.ts';

export const tlsFileKeys = ['certFile', 'chainFile', 'keyFile', 'caFile'] as const;

/** Absolute paths. */
export type TlsPaths = { readonly [K in (typeof tlsFileKeys)[number]]?: string };

/** What is in the files, checked: PEM text. */
export interface TlsTexts {
  readonly cert?: string;
  readonly key?: Secret;
  readonly ca?: string;
}

/** Reads and checks the files; what is wrong is told by the name of the path, and then the result is of no use. */
export function readTls(paths: TlsPaths, tell: (name: keyof TlsPaths) => Tell): TlsTexts {
  const { certFile, chainFile, keyFile, caFile } = paths;
  const first = certFile === undefined ? undefined : readCertificates(certFile, tell('certFile'));
  const chain = chainFile === undefined ? undefined : readCertificates(chainFile, tell('chainFile'));
  const cert = first === undefined || chain === undefined ? first : `${first}\n${chain}`;
  const key = keyFile === undefined ? undefined : readKey(keyFile, tell('keyFile'));
  const ca = caFile === undefined ? undefined : readCertificates(caFile, tell('caFile'));
  if (cert !== undefined && key !== undefined && !new X509Certificate(cert).checkPrivateKey(key.object))
    tell('keyFile')('the private key of the first certificate in cert_file', 'the key of another');
  return {
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: key.text }),
    ...(ca === undefined ? {} : { ca }),
  };
}

/** Seconds since 1970 at which the first certificate of a PEM text ends. */
export function endOfCertificate(pem: string): number {
  return Math.floor(Date.parse(new X509Certificate(pem).validTo) / 1000);
}

function readKey(path: string, tell: Tell): { readonly object: KeyObject; readonly text: Secret } | undefined {
  const text = readText(path, tell);
  if (text === undefined) return undefined;
  const expected = 'a private key in PEM without a passphrase';
  try {
    return { object: createPrivateKey(text), text: new Secret(text) };
  } catch {
    // what OpenSSL says of a key is not for a log
    const locked = /-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED/.test(text);
    tell(
      expected,
      locked ? 'one with a passphrase' : text.includes('-----BEGIN') ? 'PEM that is no usable key' : 'no PEM',
    );
    return undefined;
  }
}

export interface Follower {
  /** Reads the files now. Never rejects. */
  reload(): Promise<void>;
  stop(): void;
}

export interface Following {
  readonly paths: TlsPaths;
  /** what is in use now */
  readonly texts: TlsTexts;
  /** Takes the new texts into use; rejects when they cannot be. */
  readonly apply: (texts: TlsTexts) => Promise<void> | void;
  /** What became of a change; `why` when the old files stay in use. */
  readonly told: (outcome: 'accepted' | 'refused', texts: TlsTexts, why: string | undefined) => void;
  /** how often the files are looked at; they are read when two looks found the same, as certificate and key change one after the other */
  readonly everyMs?: number;
}

/** Looks at the files by their status and not by events, because these are lost on network file systems and behind links. */
export function followCertificates({ paths, texts, apply, told, everyMs = 2000 }: Following): Follower {
  const files = tlsFileKeys.flatMap((key) => paths[key] ?? []);
  let inUse = printed(texts);
  let seen = '';
  let settling = '';
  let turn: Promise<void> = Promise.resolve();

  const readAgain = async (whatever: boolean): Promise<void> => {
    const wrong: string[] = [];
    const found = readTls(paths, (name) => (expected, instead) => {
      wrong.push(`${keyInFile(name)}: expected ${expected}, found ${instead}`);
    });
    const now = printed(found);
    if (wrong.length === 0 && now === inUse && !whatever) return;
    if (wrong.length === 0) {
      try {
        await apply(found);
        inUse = now;
      } catch (error) {
        wrong.push(error instanceof Error ? error.message : 'they cannot be used');
      }
    }
    told(wrong.length === 0 ? 'accepted' : 'refused', found, wrong.length === 0 ? undefined : wrong.join('; '));
  };
  // one after the other: the last one wins
  const reload = (whatever = true): Promise<void> => (turn = turn.then(() => readAgain(whatever)));
  const look = async (): Promise<void> => {
    const now = (await Promise.all(files.map(statusOf))).join();
    if (now === seen) return;
    if (now === settling) {
      seen = now;
      await reload(false);
    } else settling = now;
  };
  const timer = files.length === 0 ? undefined : setInterval(() => void look(), everyMs).unref();
  return { reload: () => reload(), stop: () => clearInterval(timer) };
}

/** As the config file has it. */
export function keyInFile(key: keyof TlsPaths): string {
  return key.replace('File', '_file');
}

function printed({ cert, key, ca }: TlsTexts): string {
  return JSON.stringify([cert, key?.reveal(), ca]);
}
