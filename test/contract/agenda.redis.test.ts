import { redisPairs } from '../support/redis-pairs.ts';
import { agendaContract } from './agenda.ts';

const { missing, open } = redisPairs();

agendaContract(
  'redis',
  async () => {
    const { first, second, close } = await open();
    return { agenda: first.agenda, another: second.agenda, close };
  },
  missing,
);
