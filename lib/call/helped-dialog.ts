/** A callee's dialog whose media goes through a relay: offers and answers of INVITE, UPDATE and ACK are exchanged both ways. */
import type { Dialog, DialogAnswer, DialogRequest, EarlyDialog } from '../ports/dialog.ts';
import type { MediaSession } from '../ports/media-relay.ts';
import type { Answer, InviteTransaction, ServerTransaction } from '../ports/server-transaction.ts';
import { Headers } from '../sip/headers.ts';
import type { SipRequest } from '../sip/message.ts';
import type { Flow } from '../sip/flow.ts';
import { InTurn, isOffer, translated } from './media-exchange.ts';

/** The only requests whose session description is an offer (RFC 3264, RFC 3311); one in a MESSAGE is just text. */
function negotiates(method: string): boolean {
  return method === 'INVITE' || method === 'UPDATE';
}

export class HelpedDialog implements Dialog {
  readonly #dialog: Dialog;
  readonly #media: MediaSession;

  constructor(dialog: Dialog, media: MediaSession) {
    this.#dialog = dialog;
    this.#media = media;
  }

  get callId(): string {
    return this.#dialog.callId;
  }
  get localTag(): string {
    return this.#dialog.localTag;
  }
  get remoteTag(): string {
    return this.#dialog.remoteTag;
  }
  get remoteTarget(): string | undefined {
    return this.#dialog.remoteTarget;
  }
  get aor(): string | undefined {
    return this.#dialog.aor;
  }

  request(request: DialogRequest): Promise<DialogAnswer> {
    return ask(this.#dialog, this.#media, request);
  }

  onRequest(listener: (transaction: ServerTransaction | InviteTransaction) => void): void {
    this.#dialog.onRequest((transaction) => void hear(this.#media, transaction, listener));
  }

  onAck(listener: (ack: SipRequest) => void): void {
    this.#dialog.onAck((ack) => void translated(this.#media, 'answer', 'callee', ack).then(listener));
  }

  onEnd(listener: (why: string) => void): void {
    this.#dialog.onEnd((why) => {
      this.#media.end();
      listener(why);
    });
  }

  close(): void {
    this.#media.end();
    this.#dialog.close();
  }
}

export class HelpedEarlyDialog implements EarlyDialog {
  readonly #early: EarlyDialog;
  readonly #media: MediaSession;

  constructor(early: EarlyDialog, media: MediaSession) {
    this.#early = early;
    this.#media = media;
  }

  request(request: DialogRequest): Promise<DialogAnswer> {
    return ask(this.#early, this.#media, request);
  }

  onRequest(listener: (transaction: ServerTransaction) => void): void {
    this.#early.onRequest((transaction) => void hear(this.#media, transaction, listener));
  }
}

/** A request of the caller in the callee's dialog. */
async function ask(dialog: EarlyDialog, media: MediaSession, request: DialogRequest): Promise<DialogAnswer> {
  if (!negotiates(request.method)) return dialog.request(request);
  const offers = isOffer(request);
  const back = offers ? 'answer' : 'offer';
  const turn = new InTurn();
  const { progress } = request;
  const answer = await dialog.request({
    ...(await translated(media, 'offer', 'caller', request)),
    ...(progress === undefined
      ? {}
      : {
          progress: (response, reliable) =>
            turn.do(async () => progress(await translated(media, back, 'callee', response), reliable)),
        }),
  });
  await turn.quiet;
  const { ack } = answer;
  return {
    ...answer,
    response: await translated(media, back, 'callee', answer.response),
    ...(ack === undefined
      ? {}
      : {
          ack: (content) => {
            if (content === undefined) ack();
            else void translated(media, 'answer', 'caller', content).then(ack);
          },
        }),
  };
}

/** A request of the callee in its dialog. */
async function hear(
  media: MediaSession,
  transaction: ServerTransaction | InviteTransaction,
  listener: (transaction: ServerTransaction | InviteTransaction) => void,
): Promise<void> {
  // what has no offer is not kept waiting: the order of a BYE and what came before it stays
  if (!negotiates(transaction.request.method)) return listener(transaction);
  const request = await translated(media, 'offer', 'callee', transaction.request);
  const back = isOffer(transaction.request) ? 'answer' : 'offer';
  listener(
    'accept' in transaction
      ? new HelpedInvite(media, transaction, request, back)
      : new HelpedRequest(media, transaction, request, back),
  );
}

class HelpedRequest implements ServerTransaction {
  readonly request: SipRequest;
  readonly flow: Flow;
  readonly receivedOn: string | undefined;
  protected readonly asked: ServerTransaction;
  readonly #media: MediaSession;
  readonly #back: 'offer' | 'answer';
  readonly #turn = new InTurn();

  constructor(media: MediaSession, asked: ServerTransaction, request: SipRequest, back: 'offer' | 'answer') {
    this.#media = media;
    this.#back = back;
    this.asked = asked;
    this.request = request;
    this.flow = asked.flow;
    this.receivedOn = asked.receivedOn;
  }

  respond(answer: Answer): Promise<'sent' | 'gone'> {
    return this.told(answer, (told) => this.asked.respond(told));
  }

  protected told<T>(answer: Answer, tell: (answer: Answer) => Promise<T>): Promise<T> {
    return new Promise((resolve) => {
      this.#turn.do(async () => {
        const { headers = Headers.empty(), body = '' } = answer;
        const helped = await translated(this.#media, this.#back, 'caller', { headers, body });
        // told, not waited for: a provisional is over with its PRACK only, and what comes next has its own order
        void tell(body === '' ? answer : { ...answer, body: helped.body }).then((what) => resolve(what));
      });
    });
  }
}

class HelpedInvite extends HelpedRequest implements InviteTransaction {
  readonly #invite: InviteTransaction;

  constructor(media: MediaSession, invite: InviteTransaction, request: SipRequest, back: 'offer' | 'answer') {
    super(media, invite, request, back);
    this.#invite = invite;
  }

  get early(): EarlyDialog {
    return this.#invite.early;
  }

  accept(answer: Answer): Promise<Dialog | undefined> {
    return this.told(answer, (told) => this.#invite.accept(told));
  }

  onCancel(listener: (cancel: SipRequest) => void): void {
    this.#invite.onCancel(listener);
  }
}
