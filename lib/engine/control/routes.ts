/** Which connected app gets the next new request of a method: round robin over the apps that asked for it (drachtio-protocol D.4). */

export class Routes<App> {
  readonly #places = new Map<string, { apps: App[]; next: number }>();

  /** One more place in the rotation; an app that asks twice has two, as in the original. */
  add(method: string, app: App): void {
    const key = method.toUpperCase();
    const place = this.#places.get(key);
    if (place === undefined) this.#places.set(key, { apps: [app], next: 0 });
    else place.apps.push(app);
  }

  /** Takes an app out of every rotation. */
  removeAll(app: App): void {
    for (const [method, place] of this.#places) {
      place.apps = place.apps.filter((each) => each !== app);
      if (place.apps.length === 0) this.#places.delete(method);
      else place.next %= place.apps.length;
    }
  }

  has(method: string): boolean {
    return this.#places.has(method);
  }

  next(method: string): App | undefined {
    const place = this.#places.get(method);
    if (place === undefined) return undefined;
    const app = place.apps[place.next];
    place.next = (place.next + 1) % place.apps.length;
    return app;
  }
}
