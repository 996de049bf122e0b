/** Says when files have changed. Looks at their status and not at events, because these are lost on network file systems and behind links. */
import { stat } from 'node:fs/promises';

export interface FileFollower {
  stop(): void;
}

/**
 * `changed` is called when two looks found the same and another than before: files that belong together change one after the other.
 * `files` is asked at each look; what is there at the first one counts as known.
 */
export function followFiles(files: () => readonly string[], changed: () => void, everyMs = 2000): FileFollower {
  let seen: string | undefined;
  let settling = '';
  let looking = false;
  const look = async (): Promise<void> => {
    if (looking) return;
    looking = true;
    const now = (await Promise.all(files().map(statusOf))).join();
    looking = false;
    seen ??= now;
    if (now === seen) return;
    if (now === settling) {
      seen = now;
      changed();
    } else settling = now;
  };
  void look();
  const timer = setInterval(() => void look(), everyMs).unref();
  return { stop: () => clearInterval(timer) };
}

export async function statusOf(file: string): Promise<string> {
  const status = await stat(file).catch(() => undefined);
  return status === undefined ? `${file} none` : `${file} ${status.ino} ${status.size} ${status.mtimeMs}`;
}
