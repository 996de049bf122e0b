import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../../lib/config/arguments.ts';

describe('the command line', () => {
  it.each([
    [[], { is: 'run' }],
    [['--config', 'a.yaml'], { is: 'run', file: 'a.yaml' }],
    [['--check', '--config=a.yaml'], { is: 'check', file: 'a.yaml' }],
    [['--help', '--config', 'a.yaml'], { is: 'help' }],
    [['-h'], { is: 'help' }],
  ] as const)('reads %j', (words, asked) => {
    expect(parseArguments(words)).toEqual(asked);
  });

  it.each([[['--confg', 'a.yaml']], [['--config']], [['--config=']], [['a.yaml']], [['--check=no']]])(
    'says what is wrong with %j',
    (words) => {
      expect(parseArguments(words)).toEqual({ is: 'wrong', why: expect.stringMatching(/\S/) as string });
    },
  );
});
