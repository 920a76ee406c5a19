/**
 * Who may import whom. The arrows keep the parts apart that can be understood apart: numbers (trainer) know nothing of
 * bytes on a wire (bridge), and neither knows of nodes. docs/architecture.md gives the reasons.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Layer {
  /** Paths below src: a file, or a folder with a slash at its end. The first layer that holds a file is its layer. */
  readonly holds: readonly string[];
  readonly mayImport: readonly string[];
  /** Packages, where the layer is held to a list; `node:` stands for Node's own modules. */
  readonly packages?: readonly string[];
}

const LAYERS: readonly Layer[] = [
  { holds: ['errors.ts'], mayImport: [], packages: [] },
  { holds: ['version.ts'], mayImport: [], packages: ['node:', 'zod'] },
  {
    holds: ['trainer/'],
    mayImport: ['trainer/', 'errors.ts', 'version.ts'],
    packages: ['node:', 'zod', 'koffi', 'protobufjs', 'onnxruntime-node', 'sharp'],
  },
  { holds: ['bridge/'], mayImport: ['bridge/', 'errors.ts'] },
  { holds: ['nodes/'], mayImport: ['nodes/', 'trainer/', 'bridge/protocol/', 'errors.ts'] },
  {
    holds: ['host/'],
    mayImport: [
      'host/',
      'nodes/',
      'trainer/',
      'bridge/protocol/',
      'errors.ts',
      'version.ts',
      'config.ts',
      'log.ts',
    ],
  },
  { holds: ['config.ts'], mayImport: ['errors.ts', 'nodes/node-context.ts'] },
  { holds: ['log.ts'], mayImport: ['errors.ts'] },
  { holds: ['cli.ts', 'cli/', 'main.ts'], mayImport: [''] },
];

/** Packages that only some places may use, so that what depends on them stays in one place. */
const CONFINED: Readonly<Record<string, readonly string[]>> = {
  rxjs: ['cli.ts', 'cli/', 'host/', 'bridge/'],
  koffi: ['trainer/runtime/'],
  protobufjs: ['trainer/graph/'],
  'chart.js': ['nodes/pictures/'],
  '@napi-rs/canvas': ['nodes/pictures/'],
  bullmq: ['host/sweep/'],
  ioredis: ['host/sweep/'],
};

const SUPPRESSIONS = /biome-ignore|@ts-(?:ignore|expect-error|nocheck)/;

interface Found {
  readonly line: number;
  /** Absent where the module is only known when the program runs. */
  readonly specifier?: string;
}

/** `import ... from`, `import '...'` and `export ... from` at the start of a line, where the formatter puts them. */
const STATIC_IMPORT = /^(?:import|export)\s(?:[^'"`;=(]*?\sfrom\s+)?['"]([^'"]+)['"]/gm;
const CALLED_IMPORT = /\b(?:import|require)\(\s*(?:['"]([^'"]+)['"])?/g;
/** How a worker names its file. */
const IMPORTED_BY_URL = /\bnew URL\(\s*['"](\.[^'"]+\.[cm]?[jt]s)['"]/g;

function importsOf(source: string): Found[] {
  const code = withoutComments(source);
  return [STATIC_IMPORT, CALLED_IMPORT, IMPORTED_BY_URL].flatMap((pattern) =>
    [...code.matchAll(pattern)].map((match) => ({
      line: lineAt(code, match.index + match[0].length),
      ...(match[1] === undefined ? {} : { specifier: match[1] }),
    })),
  );
}

/** Blanks comments but keeps their line breaks; strings are stepped over, as they may hold what looks like a comment. */
function withoutComments(source: string): string {
  const commentOrString =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return source.replace(commentOrString, (text) =>
    text.startsWith('/') ? text.replace(/[^\n]/g, '') : text,
  );
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

function isIn(places: readonly string[], file: string): boolean {
  return places.some((place) =>
    place.endsWith('/') || place === '' ? file.startsWith(place) : file === place,
  );
}

/** What is wrong with one file; `file` is its path below src, with slashes. */
function violationsOf(file: string, source: string, declared: ReadonlySet<string>): string[] {
  const layer = LAYERS.find((candidate) => isIn(candidate.holds, file));
  if (layer === undefined) return [`src/${file}:1: belongs to no layer`];
  const problems: string[] = [];
  for (const { line, specifier } of importsOf(source)) {
    const problem =
      specifier === undefined
        ? 'imports a module whose name is not written there, so it cannot be checked'
        : specifier.startsWith('.')
          ? problemWithFile(layer, file, specifier)
          : problemWithPackage(layer, file, specifier, declared);
    if (problem !== undefined) problems.push(`src/${file}:${line}: ${problem}`);
  }
  source.split('\n').forEach((text, index) => {
    const suppression = SUPPRESSIONS.exec(text)?.[0];
    if (suppression) problems.push(`src/${file}:${index + 1}: ${suppression} is not allowed`);
  });
  return problems;
}

function problemWithFile(layer: Layer, file: string, specifier: string): string | undefined {
  const target = normalize(join(dirname(file), specifier))
    .split(sep)
    .join('/');
  return isIn(layer.mayImport, target) ? undefined : `may not import ${target}`;
}

function problemWithPackage(
  layer: Layer,
  file: string,
  specifier: string,
  declared: ReadonlySet<string>,
): string | undefined {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const isNode = specifier.startsWith('node:');
  if (!isNode && builtinModules.includes(name)) return `${name} is written node:${name}`;
  if (!isNode && !declared.has(name))
    return `${name} is not among the dependencies of package.json`;
  if (layer.packages && !layer.packages.includes(isNode ? 'node:' : name)) {
    return `may not import ${specifier}`;
  }
  const places = CONFINED[name];
  if (places && !isIn(places, file)) return `${name} may be imported only in ${places.join(', ')}`;
  return undefined;
}

/** Dependencies without exactly one list entry, "- `name`: ...", in the architecture page. */
function undocumentedDependencies(packageJson: string, page: string): string[] {
  const entries = page.split('\n').map((line) => /^- `([^`]+)`/.exec(line)?.[1]);
  return dependenciesOf(packageJson)
    .map((name) => ({ name, count: entries.filter((entry) => entry === name).length }))
    .filter(({ count }) => count !== 1)
    .map(({ name, count }) => {
      const line = lineAt(
        packageJson,
        packageJson.indexOf(`"${name}"`, packageJson.indexOf('"dependencies"')),
      );
      return `package.json:${line}: ${name} has ${count} lines in docs/architecture.md, not one`;
    });
}

function dependenciesOf(packageJson: string): string[] {
  return Object.keys(
    (JSON.parse(packageJson) as { dependencies: Record<string, string> }).dependencies,
  );
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

describe('the tree', () => {
  test('imports follow the arrows and nothing is suppressed', () => {
    const declared = new Set(dependenciesOf(read('package.json')));
    const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => file.split(sep).join('/'));
    expect(files).toContain('errors.ts');
    expect(files.flatMap((file) => violationsOf(file, read(`src/${file}`), declared))).toEqual([]);
  });

  test('every dependency has its line in the architecture page', () => {
    expect(undocumentedDependencies(read('package.json'), read('docs/architecture.md'))).toEqual(
      [],
    );
  });
});

describe('the checker finds', () => {
  const declared = new Set([
    'zod',
    'rxjs',
    'koffi',
    'express',
    '@napi-rs/canvas',
    'protobufjs',
    'sharp',
  ]);

  test.each([
    {
      name: 'an arrow turned round',
      file: 'trainer/run/loop.ts',
      source: "import { a } from '../tensor.ts';\nimport { b } from '../../nodes/registry.ts';",
      expected: ['src/trainer/run/loop.ts:2: may not import nodes/registry.ts'],
    },
    {
      name: 'an import over several lines, at its last',
      file: 'bridge/session.ts',
      source: "import {\n  a,\n  type B,\n} from '../trainer/tensor.ts';",
      expected: ['src/bridge/session.ts:4: may not import trainer/tensor.ts'],
    },
    {
      name: 'a type import',
      file: 'bridge/session.ts',
      source: "import type { A } from '../nodes/registry.ts';",
      expected: ['src/bridge/session.ts:1: may not import nodes/registry.ts'],
    },
    {
      name: 'the bridge beyond its protocol',
      file: 'nodes/distill.ts',
      source:
        "import { a } from '../bridge/protocol/frame.ts';\nimport { b } from '../bridge/server.ts';",
      expected: ['src/nodes/distill.ts:2: may not import bridge/server.ts'],
    },
    {
      name: 'a folder whose name only starts alike',
      file: 'nodes/distill.ts',
      source: "import { a } from '../trainer-extras/a.ts';",
      expected: ['src/nodes/distill.ts:1: may not import trainer-extras/a.ts'],
    },
    {
      name: 'the root read from below',
      file: 'host/server.ts',
      source: "import { log } from '../log.ts';\nimport { cli } from '../cli/run.ts';",
      expected: ['src/host/server.ts:2: may not import cli/run.ts'],
    },
    {
      name: 'anything at all in errors.ts',
      file: 'errors.ts',
      source: "import { inspect } from 'node:util';",
      expected: ['src/errors.ts:1: may not import node:util'],
    },
    {
      name: 'a re-export',
      file: 'trainer/a.ts',
      source: "export * from '../config.ts';\nexport { b } from '../log.ts';",
      expected: [
        'src/trainer/a.ts:1: may not import config.ts',
        'src/trainer/a.ts:2: may not import log.ts',
      ],
    },
    {
      name: 'an import for its effect, a called one and a worker',
      file: 'trainer/a.ts',
      source:
        "import '../log.ts';\nconst b = await import('../config.ts');\nnew Worker(new URL('../cli.ts', import.meta.url));",
      expected: [
        'src/trainer/a.ts:1: may not import log.ts',
        'src/trainer/a.ts:2: may not import config.ts',
        'src/trainer/a.ts:3: may not import cli.ts',
      ],
    },
    {
      name: 'a module named at run time',
      file: 'cli.ts',
      source: 'await import(name);',
      expected: [
        'src/cli.ts:1: imports a module whose name is not written there, so it cannot be checked',
      ],
    },
    {
      name: 'a package that a layer may not use',
      file: 'trainer/a.ts',
      source: "import { z } from 'zod';\nimport express from 'express';",
      expected: ['src/trainer/a.ts:2: may not import express'],
    },
    {
      name: 'a package outside its place',
      file: 'trainer/graph/a.ts',
      source: "import protobuf from 'protobufjs/light.js';\nimport koffi from 'koffi';",
      expected: ['src/trainer/graph/a.ts:2: koffi may be imported only in trainer/runtime/'],
    },
    {
      name: 'a scoped package outside its place',
      file: 'host/a.ts',
      source:
        "import { map } from 'rxjs/operators';\nimport { createCanvas } from '@napi-rs/canvas';",
      expected: ['src/host/a.ts:2: @napi-rs/canvas may be imported only in nodes/pictures/'],
    },
    {
      name: 'streams in the nodes',
      file: 'nodes/a.ts',
      source: "import { Subject } from 'rxjs';",
      expected: ['src/nodes/a.ts:1: rxjs may be imported only in cli.ts, cli/, host/, bridge/'],
    },
    {
      name: 'an undeclared package, and a module of Node without its prefix',
      file: 'cli/a.ts',
      source: "import chalk from 'chalk';\nimport { join } from 'path';",
      expected: [
        'src/cli/a.ts:1: chalk is not among the dependencies of package.json',
        'src/cli/a.ts:2: path is written node:path',
      ],
    },
    {
      name: 'suppressions',
      file: 'cli/a.ts',
      source: 'a();\n// biome-ignore lint/x: because\nb();\n// @ts-ignore\n// @ts-expect-error\n',
      expected: [
        'src/cli/a.ts:2: biome-ignore is not allowed',
        'src/cli/a.ts:4: @ts-ignore is not allowed',
        'src/cli/a.ts:5: @ts-expect-error is not allowed',
      ],
    },
    {
      name: 'a file outside every layer',
      file: 'helpers/a.ts',
      source: '',
      expected: ['src/helpers/a.ts:1: belongs to no layer'],
    },
    {
      name: 'nothing in comments, nor a comment in a string',
      file: 'errors.ts',
      source:
        "/*\nimport 'a';\n*/\n// import { b } from './b.ts';\nconst c = 'http://c';\nexport const e = ' from ';",
      expected: [],
    },
  ])('$name', ({ file, source, expected }) => {
    expect(violationsOf(file, source, declared)).toEqual(expected);
  });

  test('a dependency without a line, or with two', () => {
    const packageJson =
      '{\n  "dependencies": {\n    "a": "1",\n    "@b/c": "2",\n    "d": "3"\n  }\n}';
    const page = '- `a`: reads files.\n- `d`: once\n- `d`: and again';
    expect(undocumentedDependencies(packageJson, page)).toEqual([
      'package.json:4: @b/c has 0 lines in docs/architecture.md, not one',
      'package.json:5: d has 2 lines in docs/architecture.md, not one',
    ]);
  });
});
