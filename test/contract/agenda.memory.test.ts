import { memoryAgenda } from '../../lib/adapters/memory/agenda.ts';
import { agendaContract } from './agenda.ts';

agendaContract('memory', async () => {
  const agenda = memoryAgenda();
  return { agenda, another: agenda, close: async () => undefined };
});
