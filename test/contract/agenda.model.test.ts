import { LeasedAgenda } from '../support/leased-agenda.ts';
import { agendaContract } from './agenda.ts';

agendaContract('the model of the property tests', async () => {
  const all = new LeasedAgenda(() => Date.now());
  const [agenda, another] = [all.seenBy(() => Date.now()), all.seenBy(() => Date.now())];
  return { agenda, another, close: () => Promise.resolve() };
});
