/** Joins the side that answers and the side that asks to one engine: each does what only it can for the other's dialogs. */
import type { Core } from './core.ts';
import type { Dialog } from './dialog/dialog.ts';
import { SessionClock } from './dialog/session-clock.ts';
import { subscriptionExpiry } from './dialog/subscription.ts';
import { Uac } from './uac.ts';
import { Uas } from './uas.ts';

export type Parts = Omit<Core, 'keepSubscription' | 'agreeSession' | 'endInvite' | 'endDialog'>;

export function joinSides(parts: Parts): { readonly uas: Uas; readonly uac: Uac } {
  const { wheel, dialogs, settings } = parts;
  const core: Core = {
    ...parts,
    keepSubscription: (dialog, seconds) => {
      // a subscription inside a call is no business of the call's dialog (RFC 5057)
      if (dialog.begunBy !== 'SUBSCRIBE') return;
      dialog.subscriptionEnd?.stop();
      dialog.subscriptionEnd = subscriptionExpiry(seconds, wheel, () => dialogs.remove(dialog));
    },
    agreeSession: (dialog, answer, we) => {
      if (dialog.over || (dialog.session === undefined && !answer.has('session-expires'))) return;
      dialog.session ??= sessionClock(dialog);
      dialog.session.agreed(answer, we);
    },
    endInvite: (dialog) => uas.endInvite(dialog),
    endDialog: (dialog, reason) => uac.own.endDialog(dialog, reason),
  };
  const uas = new Uas(core);
  const uac = new Uac(core);

  function sessionClock(dialog: Dialog): SessionClock {
    return new SessionClock(
      {
        get busy() {
          return dialog.weInvite || dialog.theyInvite;
        },
        refresh: (seconds, minSe) => uac.own.refresh(dialog, seconds, minSe),
        hangUp: () => uac.own.endDialog(dialog, 'Session timer expired'),
      },
      () => uac.own.canRefresh(dialog),
      { wheel, secondMs: settings.sessionSecondMs },
    );
  }

  return { uas, uac };
}
