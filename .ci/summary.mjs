// Prints `N passed, N failed[, N skipped]` over the reports of vitest's JSON reporter that are named.
import { readFileSync } from 'node:fs';

const sum = { passed: 0, failed: 0, skipped: 0 };
for (const file of process.argv.slice(2)) {
  const text = readFileSync(file, 'utf8');
  if (text === '') {
    console.log('tests ended without a report');
    sum.failed += 1;
    continue;
  }
  const report = JSON.parse(text);
  // A file that cannot even be loaded has no tests to count, and would otherwise go unseen.
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  for (const file of brokenFiles) console.log(`${file.name} did not run to its end`);
  sum.passed += report.numPassedTests;
  sum.failed += report.numFailedTests + brokenFiles.length;
  sum.skipped += report.numPendingTests + report.numTodoTests;
}
console.log(
  `${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ''}`,
);
