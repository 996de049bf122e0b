/** Fault scripts by the control port: the same as with `--script`, as JSON. */
import type { HttpRoutes } from './http-control.ts';
import { type Labs, parseScript, runScript } from './script.ts';

/** scripts whose actions may wait for their time at once */
const mostScripts = 100;

export function scriptRoutes(labs: Labs): HttpRoutes {
  let stops: (() => void)[] = [];
  return {
    'POST /script': (body) => {
      if (stops.length >= mostScripts) throw new Error(`expected at most ${mostScripts} scripts; DELETE /script first`);
      const script = parseScript(body);
      stops.push(runScript(script, labs));
      return { rules: script.apns.length + script.http.length, actions: script.actions.length };
    },
    'DELETE /script': () => {
      for (const stop of stops) stop();
      stops = [];
      labs.apns.rules.clear();
      labs.http?.rules.clear();
      labs.apns.slowTls(0);
      labs.http?.slowTls(0);
      return { rules: 0, actions: 0 };
    },
  };
}
