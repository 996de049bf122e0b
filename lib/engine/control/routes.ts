/** Which connected app gets the next new request of a method: round robin over the apps that asked for it (drachtio-protocol D.4). */

/** An app, as far as dealing out requests goes. */
export interface Taker {
  /** False while it does not read what it was given. */
  readonly keepsUp: boolean;
}

/** More than an app has methods, so that asking again and again does not fill our memory. */
const mostPlaces = 1024;

export class Routes<App extends Taker> {
  readonly #places = new Map<string, { apps: App[]; next: number }>();
  readonly #asked = new Map<App, number>();

  /** One more place in the rotation; an app that asks twice has two, as in the original. False when it has far too many. */
  add(method: string, app: App): boolean {
    const asked = (this.#asked.get(app) ?? 0) + 1;
    if (asked > mostPlaces) return false;
    this.#asked.set(app, asked);
    const key = method.toUpperCase();
    const place = this.#places.get(key);
    if (place === undefined) this.#places.set(key, { apps: [app], next: 0 });
    else place.apps.push(app);
    return true;
  }

  /** Takes an app out of every rotation. */
  removeAll(app: App): void {
    this.#asked.delete(app);
    for (const [method, place] of this.#places) {
      place.apps = place.apps.filter((each) => each !== app);
      if (place.apps.length === 0) this.#places.delete(method);
      else place.next %= place.apps.length;
    }
  }

  /** False for a method that only `*` would take. */
  has(method: string): boolean {
    return this.#places.has(method);
  }

  /** The next one that keeps up; undefined when nobody wants the method, or nobody who does keeps up. */
  next(method: string): App | undefined {
    const place = this.#places.get(method);
    if (place === undefined) return undefined;
    for (let tried = 0; tried < place.apps.length; tried++) {
      const app = place.apps[place.next] as App;
      place.next = (place.next + 1) % place.apps.length;
      if (app.keepsUp) return app;
    }
    return undefined;
  }
}
