/** From pn-param to the APNs topic (RFC 8599 10): `TEAM.bundle.id[.service]`, also with Linphone's two services in one. */

const teamId = /^[A-Za-z0-9]{1,32}$/;
/** keeps header injection and nonsense out of apns-topic */
const bundleId = /^[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*$/;

/** The topic for a token of this kind; undefined when the parameter has no such service or is malformed. */
export function topicOf(param: string, kind: 'voip' | 'alert'): string | undefined {
  const dot = param.indexOf('.');
  if (!teamId.test(param.slice(0, Math.max(dot, 0)))) return undefined;
  const rest = param.slice(dot + 1);
  const lastDot = rest.lastIndexOf('.');
  const services = rest.slice(lastDot + 1).split('&');
  const named = lastDot > 0 && services.every((service) => service === 'voip' || service === 'remote');
  const bundle = named ? rest.slice(0, lastDot) : rest;
  if (bundle.length > 200 || !bundleId.test(bundle)) return undefined;
  // no service label means ordinary notifications
  if (kind === 'alert') return !named || services.includes('remote') ? bundle : undefined;
  return named && services.includes('voip') ? `${bundle}.voip` : undefined;
}
