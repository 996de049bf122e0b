/** What a dialog says about the requests sent in it: their headers, their way, and what an answer changes (RFC 3261 12). */
import { findParam, parseUri } from '../../sip/uri.ts';
import { ownVia } from '../core.ts';
import type { RequestParts } from '../printing.ts';
import type { Response } from '../reading.ts';
import { hopOf } from '../resolve.ts';
import type { Sent } from '../sent.ts';
import type { Flow } from '../transport/flow.ts';
import type { Target } from '../transport/transports.ts';
import { Way, type WayDeps } from '../way.ts';
import { contactUri, type Dialog, looseRoute, pointsAlong } from './dialog.ts';

/** Request line, route set and the rest that the dialog fixes (RFC 3261 12.2.1.1). */
export function dialogParts(dialog: Dialog, method: string, flow: Flow, branch: string, seq: number): RequestParts {
  const { routes, target, callId, local, remote } = dialog;
  return {
    method,
    ...alongRoutes(target, routes),
    via: ownVia(flow, branch),
    maxForwards: '70',
    from: local,
    to: remote,
    callId,
    seq,
    contact: '',
  };
}

/** Request-URI and Route lines to a target behind a route set: a strict router gets its own URI in the request line and the target last. */
export function alongRoutes(target: string, routes: readonly string[]): Pick<RequestParts, 'uri' | 'routes'> {
  const [first] = routes;
  const strict = first === undefined || looseRoute(first) !== undefined ? undefined : bareUri(first);
  if (strict === undefined) return { uri: target, routes: linesFor(routes) };
  return { uri: strict, routes: linesFor([...routes.slice(1), `<${target}>`]) };
}

/** Finds the way of a request in a dialog; undefined when the connection it needs is gone. May answer later. */
export function wayOf(dialog: Dialog, deps: WayDeps, send: (way: Way | undefined) => void): void {
  const { transports, locator } = deps;
  const alongFlow = (): Way => Way.along(dialog.flow, deps, dialog.behindNat);
  if (dialog.alongFlow) {
    send(dialog.flow.open ? alongFlow() : undefined);
    return;
  }
  const [first] = dialog.routes;
  const next = parseUri(first === undefined ? dialog.target : (looseRoute(first) ?? bareUri(first) ?? ''));
  const hop = next === undefined ? undefined : hopOf(next, transports);
  if (hop?.is === 'address') {
    // a URI that names no transport stays on the one the dialog began with
    const named = next !== undefined && findParam(next.params, 'transport') !== undefined;
    const target = named ? hop.target : { ...hop.target, transport: dialog.flow.listener.transport };
    const way = Way.to([target], deps);
    send(way.first === undefined ? alongFlow() : way);
  } else if (hop?.is === 'name') {
    void locator
      .locate(hop)
      .then((targets) => {
        const way = Way.to(targets as readonly Target[], deps);
        send(way.first === undefined ? alongFlow() : way);
      })
      .catch(() => deps.counters.faults++);
  } else send(dialog.flow.open ? alongFlow() : undefined);
}

/** Takes peer, target, route set and way from an answer to the request that begins the dialog (RFC 3261 12.1.2). */
export function adoptAnswer(dialog: Dialog, response: Response, sent: Sent): void {
  const { headers, status } = response;
  // what went over TCP for its size alone leaves the dialog on UDP: the connection may go, and is made again when it is needed
  const flow = sent.insteadOf ?? response.flow;
  dialog.remote = response.to;
  dialog.remoteTag = response.toTag;
  dialog.target = contactUri(headers) ?? dialog.target;
  dialog.routes = headers.list('record-route').toReversed();
  dialog.flow = flow;
  const [first] = dialog.routes;
  const next = first === undefined ? dialog.target : (looseRoute(first) ?? dialog.target);
  // what went through proxies of the app's choice came from the last of them, and says nothing about where the peer is
  const behindNat = !sent.routed && (first === undefined ? !pointsAlong(next, flow) : isPrivate(next));
  dialog.behindNat = behindNat;
  dialog.alongFlow = sent.alongFlow || (flow.listener.reliable && !sent.routed) || behindNat;
  if (status < 200) return;
  dialog.confirmed = true;
  if (sent.parts.method === 'INVITE') dialog.invited = sent.parts.seq;
}

/**
 * Target and way after a target refresh of the peer that we accept (RFC 3261 12.2.2, 14.2; RFC 6141 4.5: a refused one changes
 * nothing). A peer whose Contact is not where it is, is reached the way it reached us. `forSize`: it came over TCP for its size alone.
 */
export function refreshTarget(dialog: Dialog, target: string, flow: Flow, forSize: boolean): void {
  if (target === '') return;
  dialog.target = target;
  if (forSize) return;
  dialog.behindNat = dialog.routes.length === 0 && !pointsAlong(target, flow);
  dialog.alongFlow = flow.listener.reliable || dialog.behindNat;
  if (dialog.alongFlow) dialog.flow = flow;
}

function bareUri(route: string): string | undefined {
  return /<([^>]+)>/.exec(route)?.[1];
}

function linesFor(routes: readonly string[]): string {
  return routes.map((route) => `Route: ${route}\r\n`).join('');
}

/** An address that is only reachable inside somebody's own network. */
function isPrivate(uri: string): boolean {
  const host = parseUri(uri)?.host ?? '';
  return /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|\[f[cd])/i.test(host);
}
