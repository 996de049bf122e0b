/** Which configured app pushes a phone: by provider and pn-param (RFC 8599 5.1, PN-PARAM-12). Never opens anything by itself. */

export interface MatchableApp {
  readonly name: string;
  readonly provider: string;
  /** exact pn-param values, or `TEAM.bundle` without the service that iOS phones add */
  readonly match: readonly string[];
  /** why it does not push to this token; undefined: it does */
  readonly refuses?: (token: string) => string | undefined;
}

/** What the register use-case asks: the name of the app for this phone, undefined when none is configured. */
export function appFinder(
  apps: readonly MatchableApp[],
): (provider: string, param: string | undefined, tokens: readonly { readonly token: string }[]) => string | undefined {
  return (provider, param, tokens) => {
    const candidates = apps.filter(
      (app) => app.provider === provider && !tokens.some(({ token }) => app.refuses?.(token) !== undefined),
    );
    const found =
      param === undefined ? undefined : candidates.find(({ match }) => match.some((value) => matches(value, param)));
    const open = candidates.find(({ match }) => match.length === 0);
    return (found ?? open ?? (param === undefined && candidates.length === 1 ? candidates[0] : undefined))?.name;
  };
}

/** Equal, or the parameter has a service behind the bundle (`.voip`, `.voip&remote`), or a legacy phone left the team out. */
function matches(value: string, param: string): boolean {
  if (param === value) return true;
  const withoutService = param.replace(/\.(?:voip|remote)(?:&(?:voip|remote))?$/, '');
  if (withoutService === value) return true;
  const bundle = value.slice(value.indexOf('.') + 1);
  return param.startsWith('.') && (withoutService === `.${bundle}` || param === `.${bundle}`);
}
