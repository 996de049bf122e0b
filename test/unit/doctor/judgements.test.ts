import { describe, expect, it } from 'vitest';
import { exitCodeOf, type Finding, findingsAsText } from '../../../lib/doctor/finding.ts';
import { judgeCertificate, judgeMode, judgeRingBudget } from '../../../lib/doctor/judge-local.ts';
import { judgeClock, judgeOptions, judgeQualify, judgeRegister } from '../../../lib/doctor/judge-upstream.ts';
import { Headers } from '../../../lib/sip/headers.ts';
import { response } from '../../../lib/sip/message.ts';

type Fields = readonly (readonly [string, string])[];

function answered(status: number, reason: string, fields: Fields = [], ms = 1) {
  return { is: 'answered', response: response(status, reason, Headers.of(fields)), ms } as const;
}

function resultsOf(findings: readonly Finding[]): Readonly<Record<string, string>> {
  return Object.fromEntries(findings.map(({ check, result }) => [check, result]));
}

describe('what OPTIONS tells', () => {
  it('an answer is enough, whatever it says, but for 503', () => {
    expect(resultsOf(judgeOptions('s', answered(404, 'Not Found'), false))['reachable']).toBe('ok');
    expect(resultsOf(judgeOptions('s', answered(403, 'Forbidden'), false))['reachable']).toBe('warn');
    expect(resultsOf(judgeOptions('s', answered(503, 'Busy'), false))['reachable']).toBe('fail');
    expect(resultsOf(judgeOptions('s', { is: 'silent', ms: 5000 }, false))).toEqual({ reachable: 'fail' });
  });

  it('Path is needed by registration path only', () => {
    const path: Fields = [['Supported', 'replaces, Path']];
    expect(resultsOf(judgeOptions('s', answered(200, 'OK', path), true))['path']).toBe('ok');
    expect(resultsOf(judgeOptions('s', answered(200, 'OK'), true))['path']).toBe('warn');
    expect(resultsOf(judgeOptions('s', answered(200, 'OK'), false))['path']).toBe('ok');
  });

  it('482, 483 and our own request are a loop; a long way is slow', () => {
    expect(resultsOf(judgeOptions('s', answered(482, 'Loop'), false))['loop']).toBe('fail');
    expect(resultsOf(judgeOptions('s', answered(483, 'Hops'), false))['loop']).toBe('fail');
    expect(resultsOf(judgeOptions('s', { is: 'came-back' }, false))).toEqual({ loop: 'fail' });
    expect(resultsOf(judgeOptions('s', answered(200, 'OK', [], 400), false))['round trip']).toBe('warn');
  });

  it('compares clocks in both directions', () => {
    const now = Date.parse('2026-11-21T12:00:00.500Z');
    expect(judgeClock('s', 'Sat, 21 Nov 2026 12:00:00 GMT', now, 0).result).toBe('ok');
    expect(judgeClock('s', 'Sat, 21 Nov 2026 11:58:00 GMT', now, 0).found).toContain('120 s behind');
    expect(judgeClock('s', 'Sat, 21 Nov 2026 12:02:00 GMT', now, 0).found).toContain('120 s ahead');
    expect(judgeClock('s', undefined, now, 0).result).toBe('skipped');
    expect(judgeClock('s', 'yesterday', now, 0).result).toBe('warn');
  });
});

describe('what a trial REGISTER tells', () => {
  const trial = { contact: 'doctor-1@', path: 'path-1', asked: 604_800, byPath: true, others: [] };
  const ours = (expires: number): readonly [string, string] => ['Contact', `<sip:doctor-1@h:1>;expires=${expires}`];

  it('the cap, Path and our Contact', () => {
    const good = answered(200, 'OK', [ours(3600), ['Path', '<sip:path-1@h;lr>']]);
    expect(resultsOf(judgeRegister('a', good, trial, undefined))).toEqual({
      register: 'ok',
      expiry: 'ok',
      'shortest expiry': 'skipped',
      'path kept': 'ok',
    });
    const poor = answered(200, 'OK', [ours(120)]);
    expect(resultsOf(judgeRegister('a', poor, trial, 60))).toMatchObject({
      expiry: 'warn',
      'shortest expiry': 'ok',
      'path kept': 'fail',
    });
    expect(resultsOf(judgeRegister('a', poor, { ...trial, byPath: false }, 60))['path kept']).toBe('ok');
    const rewritten = answered(200, 'OK', [['Contact', '<sip:x@nat:9>;expires=3600']]);
    expect(resultsOf(judgeRegister('a', rewritten, trial, undefined))['register']).toBe('warn');
  });

  it('refusals come with what to do', () => {
    const fixOf = (status: number, fields: Fields = []): string | undefined =>
      judgeRegister('a', answered(status, 'No', fields), trial, undefined)[0]?.fix;
    expect(fixOf(403)).toContain('max_contacts');
    expect(fixOf(401)).toContain('password');
    expect(fixOf(404)).toContain('domains[].name');
    expect(fixOf(420, [['Unsupported', 'path']])).toContain('does not know Path');
    expect(resultsOf(judgeRegister('a', { is: 'silent', ms: 1 }, trial, undefined))).toEqual({ register: 'fail' });
  });

  it('a contact that is thrown out is told, and a qualify that comes too often', () => {
    const others = { ...trial, others: ['sip:bob@phone'] };
    expect(resultsOf(judgeRegister('a', answered(200, 'OK', [ours(3600)]), others, undefined))['contacts']).toBe(
      'warn',
    );
    expect(judgeQualify('a', [], 10).result).toBe('ok');
    expect(judgeQualify('a', [0, 60_000], 70)).toMatchObject({
      result: 'ok',
      found: expect.stringContaining('60.0 s'),
    });
    expect(judgeQualify('a', [0, 2000, 4000], 5).result).toBe('warn');
  });
});

describe('what is on our own side', () => {
  const day = 86_400_000;
  const fixes = { name: 'name', trust: 'trust', end: 'end' };
  const seen = { names: 'DNS:pbx', from: 0, until: 100 * day, otherName: undefined, untrusted: undefined };

  it('certificates: end, name and trust, each with its own fix', () => {
    const judge = (more: object, now = 50 * day) => judgeCertificate('c', { ...seen, ...more }, now, 14, fixes);
    expect(judge({}).result).toBe('ok');
    expect(judge({}, 90 * day)).toMatchObject({ result: 'warn', fix: 'end' });
    expect(judge({}, 101 * day)).toMatchObject({ result: 'fail', fix: 'end' });
    expect(judge({ from: 60 * day }).result).toBe('fail');
    expect(judge({ otherName: 'a certificate for x' })).toMatchObject({ result: 'fail', fix: 'name' });
    expect(judge({ untrusted: 'self-signed' })).toMatchObject({ result: 'fail', fix: 'trust' });
  });

  it('files of keys are not for everybody', () => {
    expect(judgeMode('k', 0o100600).result).toBe('ok');
    expect(judgeMode('k', 0o100640).result).toBe('ok');
    expect(judgeMode('k', 0o100644)).toMatchObject({ result: 'fail', fix: 'chmod 600 k' });
  });

  it('the ring budget stays below what the PBX waits and above the hold', () => {
    const judge = (budget: number, pbx?: number) => judgeRingBudget({ budget, hold: 30, ring: 60, pbx }).result;
    expect(judge(0)).toBe('warn');
    expect(judge(55)).toBe('ok');
    expect(judge(55, 60)).toBe('ok');
    expect(judge(60, 60)).toBe('fail');
    expect(judge(0, 60)).toBe('fail');
    expect(judge(20)).toBe('warn');
  });

  it('tells all of it aligned, in colours on request only, and the exit code', () => {
    const findings: Finding[] = [
      { check: 'a', about: 'x', result: 'ok', found: 'good', fix: 'not told' },
      { check: 'long', about: 'x', result: 'fail', found: 'bad', expected: 'good', fix: 'change it' },
    ];
    const text = findingsAsText(findings, false);
    expect(text).toBe(
      'x\n  ok       a     good\n  fail     long  bad\n                 expected: good\n                 fix: change it\n\n1 ok, 0 warn, 1 fail, 0 skipped\n',
    );
    expect(findingsAsText(findings, true)).toContain('\u001b[31mfail');
    expect(exitCodeOf(findings)).toBe(1);
    expect(exitCodeOf(findings.slice(0, 1))).toBe(0);
  });
});
