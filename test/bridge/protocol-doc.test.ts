/** docs/protocol.md and its JSON Schema say what the schemas say: `npm run docs:protocol` writes them anew. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGE, protocolPage, protocolSchema, SCHEMA } from '../../scripts/protocol-doc.ts';
import { CLOSE_CODES } from '../../src/bridge/protocol/messages.ts';
import { ERROR_CODES } from '../../src/errors.ts';

const page = readFileSync(PAGE, 'utf8');

test('the page is up to date', () => {
  expect(page).toBe(protocolPage(page));
});

test('the JSON Schema is up to date', () => {
  expect(readFileSync(SCHEMA, 'utf8')).toBe(protocolSchema());
});

test.each(Object.keys(ERROR_CODES))('the error code %s is explained', (code) => {
  const row = page.split('\n').find((line) => line.startsWith(`| \`${code}\` |`));
  const meaning = row?.split('|').at(-2)?.trim() ?? '';
  expect(meaning.length).toBeGreaterThan(10);
});

test.each(Object.values(CLOSE_CODES))('the close code %i is explained', (code) => {
  expect(page).toContain(`| ${code} | `);
});

test('every message of the schemas has its table', () => {
  const { $defs } = JSON.parse(protocolSchema());
  for (const { oneOf } of [$defs.clientMessage, $defs.serverMessage, $defs.frameHeader]) {
    for (const { properties } of oneOf) {
      const name = (properties.type ?? properties.kind).const;
      expect(page).toContain(`\n### ${name}\n`);
    }
  }
});
