/** MailStore in a Map: forgets everything when the process ends. */
import type { Aor } from '../../core/binding.ts';
import type { MailStore, StoredMessage } from '../../ports/mail-store.ts';

export function memoryMail(): MailStore {
  const mail = new Map<Aor, readonly StoredMessage[]>();
  return {
    async keep(message, most) {
      const others = mail.get(message.aor) ?? [];
      if (others.some(({ id }) => id === message.id)) return 'known';
      if (others.length >= most) return 'full';
      mail.set(message.aor, [...others, message]);
      return 'kept';
    },
    async waiting(aor) {
      return mail.get(aor) ?? [];
    },
    async drop(aor, id) {
      const left = (mail.get(aor) ?? []).filter((one) => one.id !== id);
      if (left.length > 0) mail.set(aor, left);
      else mail.delete(aor);
    },
    async scan() {
      return { aors: [...mail.keys()], next: undefined };
    },
  };
}
