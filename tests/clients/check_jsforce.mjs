// jsforce against an emulated org:  check_jsforce.mjs BASE_URL ACCESS_TOKEN PACKAGE_DIR
//
// Prints `ok …` for each thing that held and exits 0 only if all of them did. The
// org's deploys take a few polls. Environment: CLIENTS (folder with node_modules),
// WIRE_USERNAME, WIRE_PASSWORD, WIRE_CONSUMER_KEY, WIRE_CONSUMER_SECRET,
// WIRE_JWT_KEY_FILE, WIRE_ORG_ID; for https NODE_EXTRA_CA_CERTS.
import assert from 'node:assert/strict';
import { createSign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const env = process.env;
const require = createRequire(join(env.CLIENTS, 'package.json'));
const jsforce = require('jsforce');
const JSZip = require('jszip');

const [base, token, folder] = process.argv.slice(2);
const version = '66.0';
const callback = 'http://localhost:1717/OauthRedirect';
const packed = readFileSync(join(folder, 'mdapi.zip'));
const app = {
  clientId: env.WIRE_CONSUMER_KEY,
  clientSecret: env.WIRE_CONSUMER_SECRET,
  redirectUri: callback,
  loginUrl: base,
};
const rights = [{ name: 'ApiEnabled', enabled: true }];
const permissionSet = (fullName, label) => ({
  fullName,
  label,
  hasActivationRequired: false,
  userPermissions: rights,
});

const ok = (text) => console.log('ok  ', text);

/** Connect with a token; polls come quickly, since the org does not wait. */
function connect(options) {
  const connection = new jsforce.Connection({
    instanceUrl: base,
    loginUrl: base,
    version,
    ...options,
  });
  connection.metadata.pollInterval = 10;
  connection.metadata.pollTimeout = 30_000;
  return connection;
}

async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'not refused' });
}

/** Zip files given as {path: text}. */
function zipOf(files) {
  const archive = new JSZip();
  for (const [path, text] of Object.entries(files)) archive.file(path, text);
  return archive.generateAsync({ type: 'nodebuffer' });
}

const NAMESPACE = 'xmlns="http://soap.sforce.com/2006/04/metadata"';

function manifest(types) {
  const rows = Object.entries(types).map(
    ([name, members]) =>
      `<types>${members.map((m) => `<members>${m}</members>`).join('')}` +
      `<name>${name}</name></types>`,
  );
  return `<Package ${NAMESPACE}>${rows.join('')}<version>${version}</version></Package>`;
}

function namesOf(rows) {
  return rows
    .filter((row) => row.componentType)
    .map((row) => `${row.componentType}#${row.fullName}`)
    .sort();
}

const IN_PACKAGE = [
  'ConnectedApp#Wire_App',
  'PermissionSet#Wire_Perm_0001',
  'Profile#Wire Profile',
];

async function logins() {
  const soap = connect({ version: '64.0' });
  const me = await soap.login(env.WIRE_USERNAME, env.WIRE_PASSWORD);
  assert.equal(me.organizationId, env.WIRE_ORG_ID);
  assert.equal((await soap.query('SELECT Id FROM Organization')).totalSize, 1);
  const ended = soap.accessToken;
  await soap.logout();
  const late = await refusal(connect({ accessToken: ended }).query('SELECT Id FROM User'));
  assert.equal(late.errorCode, 'INVALID_SESSION_ID');
  const bad = await refusal(connect({ version: '64.0' }).login(env.WIRE_USERNAME, 'bad'));
  assert.match(bad.message, /^INVALID_LOGIN: /);
  const gone = await refusal(connect().login(env.WIRE_USERNAME, env.WIRE_PASSWORD));
  assert.match(gone.message, /not available/);
  ok('SOAP login and logout, bad password, none in a new API version');

  const grants = {
    'username and password': (c) => c.login(env.WIRE_USERNAME, env.WIRE_PASSWORD),
    'client credentials': (c) => c.authorize({ grant_type: 'client_credentials' }),
    'JWT bearer': (c) =>
      c.authorize({
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
        assertion: assertion(),
      }),
  };
  for (const [name, grant] of Object.entries(grants)) {
    const connection = connect({ oauth2: app });
    const who = await grant(connection);
    assert.equal(who.organizationId, env.WIRE_ORG_ID, name);
    assert.equal(connection.instanceUrl, base, name);
    const found = await connection.identity();
    assert.equal(found.username, env.WIRE_USERNAME, name);
    assert.equal(found.organization_id, env.WIRE_ORG_ID, name);
  }
  ok(`OAuth: ${Object.keys(grants).join(', ')}; identity`);

  const wrong = connect({ oauth2: { ...app, clientSecret: 'bad' } });
  const refused = await refusal(wrong.authorize({ grant_type: 'client_credentials' }));
  assert.equal(refused.name, 'invalid_client');
  ok('OAuth: wrong secret -> invalid_client');
}

function assertion() {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 180;
  const claims = { iss: app.clientId, sub: env.WIRE_USERNAME, aud: base, exp };
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
  const key = readFileSync(env.WIRE_JWT_KEY_FILE);
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key, 'base64url')}`;
}

/** Do what a person in a browser does; return where the app is called back. */
async function consent(url) {
  const jar = new Map();
  let [method, body] = ['GET', undefined];
  for (let step = 0; step < 8; step += 1) {
    const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    const answer = await fetch(url, { method, body, headers: { cookie }, redirect: 'manual' });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      jar.set(name, value);
    }
    const page = await answer.text();
    const location = answer.headers.get('location');
    if (location?.startsWith(callback)) return new URL(location);
    [method, body] = ['GET', undefined];
    if (location) {
      url = new URL(location, url).href;
      continue;
    }
    const action = page.match(/<form[^>]* action="([^"]*)"/)?.[1];
    assert.ok(action !== undefined, `${answer.status}: ${page.slice(0, 400)}`);
    url = new URL(action.replaceAll('&amp;', '&'), url).href;
    method = 'POST';
    const login = { username: env.WIRE_USERNAME, password: env.WIRE_PASSWORD };
    body = new URLSearchParams(page.includes('type="password"') ? login : { choice: 'allow' });
    for (const [, name, value] of page.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)) {
      body.set(name, value);
    }
  }
  throw new Error('the browser was sent round and round');
}

async function webServerFlow() {
  const oauth2 = new jsforce.OAuth2({ ...app, useVerifier: true });
  const first = connect({ oauth2 });
  const url = oauth2.getAuthorizationUrl({ scope: 'api refresh_token', state: 'a b&c' });
  const back = await consent(url);
  assert.equal(back.searchParams.get('state'), 'a b&c');
  await first.authorize(back.searchParams.get('code'));
  assert.ok(first.refreshToken && first.accessToken);
  assert.equal((await first.identity()).username, env.WIRE_USERNAME);
  const again = await refusal(connect({ oauth2 }).authorize(back.searchParams.get('code')));
  assert.equal(again.name, 'invalid_grant');
  ok('web server flow with PKCE; a code serves once');

  const { refreshToken } = first;
  for (const call of [(c) => c.limits(), (c) => c.metadata.list({ type: 'ConnectedApp' })]) {
    const stale = connect({ oauth2: app, accessToken: `${token.slice(0, 16)}gone`, refreshToken });
    const renewed = once(stale, 'refresh');
    await call(stale);
    assert.equal((await renewed)[0], stale.accessToken);
  }
  ok('an expired session is refreshed, over REST and over SOAP');

  const open = connect({ oauth2: app, accessToken: first.accessToken, refreshToken });
  await open.authorize({ grant_type: 'refresh_token', refresh_token: refreshToken });
  await open.logout(true);
  const revoked = connect({ oauth2: app });
  const none = await refusal(revoked.oauth2.refreshToken(refreshToken));
  assert.equal(none.name, 'invalid_grant');
  ok('logout revokes the refresh token');
}

async function deploys(connection) {
  const { metadata } = connection;
  const job = metadata.deploy(packed, { singlePackage: true, rollbackOnError: true });
  const steps = [];
  job.on('progress', (result) => steps.push(result.status));
  const done = await job.complete(true);
  assert.equal(done.status, 'Succeeded');
  assert.deepEqual([done.done, done.success, done.checkOnly], [true, true, false]);
  assert.deepEqual([done.numberComponentsDeployed, done.numberComponentErrors], [3, 0]);
  assert.deepEqual(namesOf(done.details.componentSuccesses), IN_PACKAGE);
  assert.deepEqual(done.details.componentFailures, []);
  assert.ok(steps.length > 0 && steps.every((s) => s === 'Pending' || s === 'InProgress'));
  ok(`metadata.deploy: ${done.numberComponentsDeployed} components after ${steps.join(', ')}`);

  const rest = await metadata.deployRest(packed, { singlePackage: true }).complete(true);
  const same = await metadata.checkDeployStatus(rest.id, true, true);
  assert.equal(same.status, 'Succeeded');
  assert.equal(same.success, true);
  assert.equal(same.numberComponentsTotal, 3);
  assert.deepEqual(namesOf(same.details.componentSuccesses), IN_PACKAGE);
  ok('metadata.deployRest, its status over SOAP and over REST');

  const broken = await zipOf({
    'package.xml': manifest({ PermissionSet: ['Broken'] }),
    'permissionsets/Broken.permissionset':
      `<PermissionSet ${NAMESPACE}>\n  <noSuchElement>1</noSuchElement>\n</PermissionSet>`,
  });
  const failed = await metadata.deploy(broken, { singlePackage: true }).complete(true);
  assert.deepEqual([failed.status, failed.success], ['Failed', false]);
  const [why] = failed.details.componentFailures;
  assert.equal(why.fullName, 'Broken');
  assert.match(why.problem, /noSuchElement invalid at this location in type PermissionSet/);
  assert.equal(why.problemType, 'Error');
  assert.ok(why.lineNumber > 1 && why.columnNumber > 0, JSON.stringify(why));
  assert.deepEqual(await metadata.list({ type: 'PermissionSet', folder: '' }).then(only('Broken')), []);
  ok(`failing deploy: ${why.problem} (${why.lineNumber}:${why.columnNumber})`);

  for (const rest of [false, true]) {
    const options = { singlePackage: true, checkOnly: true, testLevel: 'RunLocalTests' };
    const validation = await metadata.deploy(packed, options).complete();
    assert.deepEqual([validation.checkOnly, validation.success], [true, true]);
    const id = await metadata.deployRecentValidation({ id: validation.id, rest });
    assert.match(id, /^0Af\w{15}$/);
    assert.notEqual(id, validation.id);
    const quick = await settled(metadata, id);
    assert.equal(quick.status, 'Succeeded');
  }
  ok('checkOnly, then deployRecentValidation over SOAP and over REST');

  const { id } = await metadata.deploy(packed, { singlePackage: true });
  await metadata.cancelDeploy(id);
  const cancelled = await settled(metadata, id);
  assert.deepEqual([cancelled.status, cancelled.success], ['Canceled', false]);
  const late = await refusal(metadata.cancelDeploy(id));
  assert.match(`${late.errorCode} ${late.message}`, /INVALID_ID_FIELD|already|completed/i);
  ok(`cancelDeploy: Canceled; once more: ${late.message}`);
}

const only = (name) => (rows) => rows.filter((row) => row.fullName === name);

async function settled(metadata, id) {
  for (let polls = 0; polls < 50; polls += 1) {
    const result = await metadata.checkDeployStatus(id, true);
    if (result.done) return result;
  }
  throw new Error(`${id} is never done`);
}

async function reading(connection) {
  const { metadata } = connection;
  const described = await metadata.describe();
  const kinds = new Map(described.metadataObjects.map((kind) => [kind.xmlName, kind]));
  assert.equal(kinds.get('ConnectedApp').directoryName, 'connectedApps');
  assert.equal(kinds.get('ConnectedApp').metaFile, false);
  assert.equal(described.partialSaveAllowed, true);
  ok(`metadata.describe: ${kinds.size} types`);

  const listed = await metadata.list([{ type: 'ConnectedApp' }, { type: 'PermissionSet' }]);
  const [one] = only('Wire_App')(listed);
  assert.equal(one.fileName, 'connectedApps/Wire_App.connectedApp');
  assert.match(one.lastModifiedDate, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(only('Wire_Perm_0001')(listed).length, 1);
  assert.deepEqual(await metadata.list({ type: 'ApexClass' }), []);
  const unknown = await refusal(metadata.list({ type: 'NoSuchType' }));
  assert.equal(unknown.errorCode, 'sf:INVALID_TYPE');
  ok('metadata.list: two types, none of a type, no such type');

  const shown = await metadata.read('ConnectedApp', 'Wire_App');
  assert.equal(shown.description, 'R&D <portal> – täst');
  assert.deepEqual(shown.oauthConfig.scopes, ['Api', 'RefreshToken']);
  assert.equal(shown.oauthConfig.isAdminApproved, true);
  assert.equal(shown.oauthConfig.consumerSecret ?? null, null);
  const both = await metadata.read('PermissionSet', ['Wire_Perm_0001', 'No_Such_Perm']);
  assert.equal(both.length, 2);
  assert.equal(both[0].label, 'Wire Perm 0001');
  assert.equal(both[1].fullName ?? null, null);
  const none = await metadata.read('PermissionSet', 'No_Such_Perm');
  assert.equal(none.fullName ?? null, null);
  ok('metadata.read: one, two with one missing, missing');

  const types = [
    { name: 'ConnectedApp', members: ['*'] },
    { name: 'PermissionSet', members: ['Wire_Perm_0001', 'No_Such_Perm'] },
    { name: 'Profile', members: ['Wire Profile'] },
  ];
  const asked = { apiVersion: version, unpackaged: { types, version } };
  const result = await metadata.retrieve(asked).complete();
  assert.deepEqual([result.status, result.success], ['Succeeded', true]);
  const problems = result.messages.map((m) => m.problem);
  assert.ok(problems.includes("Entity of type 'PermissionSet' named 'No_Such_Perm' cannot be found"));
  const archive = await JSZip.loadAsync(Buffer.from(result.zipFile, 'base64'));
  const text = await archive.file('unpackaged/connectedApps/Wire_App.connectedApp').async('string');
  assert.match(text, /<description>R&amp;D &lt;portal&gt; – täst<\/description>/);
  assert.match(text, /<permissionSetName>Wire_Perm_0001<\/permissionSetName>/);
  assert.ok(archive.file('unpackaged/profiles/Wire Profile.profile'));
  assert.ok(archive.file('unpackaged/package.xml'));
  assert.equal(only('Wire_App')(result.fileProperties).length, 1);
  ok(`metadata.retrieve: ${result.fileProperties.length} files, ${problems.length} messages`);

  const flat = metadata.retrieve({ ...asked, singlePackage: true }).stream();
  const root = await JSZip.loadAsync(Buffer.concat(await flat.toArray()));
  assert.ok(root.file('package.xml'));
  ok('metadata.retrieve as a stream, one package at the root');
}

async function changing(connection) {
  const { metadata } = connection;
  const made = await metadata.create('PermissionSet', [
    permissionSet('Wire_One', 'One & <only>'),
    permissionSet('Wire_Two', 'Two'),
    { fullName: 'Wire Bad Name', label: 'x' },
  ]);
  assert.deepEqual(made.map((m) => m.success), [true, true, false]);
  assert.equal(made[2].errors.length, 1);
  assert.ok(made[2].errors[0].statusCode && made[2].errors[0].message);
  ok(`metadata.create: two, and one refused: ${made[2].errors[0].message}`);

  const twice = await metadata.create('PermissionSet', permissionSet('Wire_One', 'One'));
  assert.equal(twice.success, false);
  const changed = await metadata.update('PermissionSet', permissionSet('Wire_One', 'Uno'));
  assert.deepEqual([changed.success, changed.fullName], [true, 'Wire_One']);
  const upserted = await metadata.upsert('PermissionSet', [
    permissionSet('Wire_One', 'Eins'),
    permissionSet('Wire_Three', 'Three'),
  ]);
  assert.deepEqual(upserted.map((u) => [u.success, u.created]), [[true, false], [true, true]]);
  assert.equal((await metadata.read('PermissionSet', 'Wire_One')).label, 'Eins');
  ok('metadata.update, upsert, read back');

  const renamed = await metadata.rename('PermissionSet', 'Wire_Three', 'Wire_Four');
  assert.equal(renamed.success, true, JSON.stringify(renamed));
  const names = ['Wire_One', 'Wire_Two', 'Wire_Four'];
  const gone = await metadata.delete('PermissionSet', [...names, 'Wire_Three']);
  assert.deepEqual(gone.map((g) => g.success), [true, true, true, false]);
  ok('metadata.rename, delete; what is renamed is gone');

  const before = permissionSet('Wire_Gone', 'Gone');
  await metadata.create('PermissionSet', before);
  const destroying = await zipOf({
    'package.xml': manifest({}),
    'destructiveChangesPost.xml': manifest({ PermissionSet: ['Wire_Gone', 'Never_There'] }),
  });
  const done = await metadata.deploy(destroying, { singlePackage: true }).complete(true);
  assert.equal(done.status, 'Succeeded', JSON.stringify(done.details));
  const rows = done.details.componentSuccesses;
  assert.equal(only('Wire_Gone')(rows)[0].deleted, true);
  const absent = rows.find((row) => row.problem?.includes('Never_There'));
  assert.equal(absent.problem, 'No PermissionSet named: Never_There found');
  assert.equal(absent.problemType, 'Warning');
  ok(`destructiveChangesPost.xml: ${absent.problem}`);
}

async function records(connection) {
  const nested = await connection.query(
    "SELECT Id, Name, Profile.Name, (SELECT PermissionSetId FROM PermissionSetAssignments) FROM User WHERE Username = '" +
      `${env.WIRE_USERNAME}'`,
  );
  const [me] = nested.records;
  assert.equal(me.Profile.Name, 'System Administrator');
  assert.equal(me.attributes.type, 'User');
  assert.equal((await connection.query('SELECT COUNT() FROM PermissionSet')).records.length, 0);
  const sets = await connection
    .sobject('PermissionSet')
    .find({ Name: { $like: 'Wire_Perm%' }, IsOwnedByProfile: false }, ['Id', 'Name'])
    .sort('-Name')
    .limit(5);
  assert.deepEqual(sets.map((s) => s.Name), ['Wire_Perm_0001']);
  const bad = await refusal(connection.query('SELECT nonsense FROM'));
  assert.equal(bad.errorCode, 'MALFORMED_QUERY');
  const field = await refusal(connection.query('SELECT Nonsense FROM User'));
  assert.equal(field.errorCode, 'INVALID_FIELD');
  ok('query: relationships, subquery, COUNT(), find; MALFORMED_QUERY, INVALID_FIELD');

  const many = Array.from({ length: 250 }, (_, i) => ({ Name: `Wire_Many_${i}`, Label: `Many ${i}` }));
  const created = await connection.sobject('PermissionSet').create(many, { allowRecursive: true });
  assert.ok(created.every((c) => c.success));
  const headers = { 'Sforce-Query-Options': 'batchSize=200' };
  const soql = "SELECT Id, Name FROM PermissionSet WHERE Name LIKE 'Wire_Many_%'";
  const page = await connection.query(soql, { headers });
  assert.deepEqual([page.done, page.records.length, page.totalSize], [false, 200, 250]);
  const last = await connection.queryMore(page.nextRecordsUrl);
  assert.deepEqual([last.done, last.records.length], [true, 50]);
  const names = [...page.records, ...last.records].map((record) => record.Name);
  assert.equal(new Set(names).size, many.length);
  const removed = await connection
    .sobject('PermissionSet')
    .destroy(created.map((c) => c.id), { allowRecursive: true });
  assert.ok(removed.every((r) => r.success));
  assert.equal((await connection.query(soql)).totalSize, 0);
  ok('250 records created, queried in two batches, deleted, as collections');

  const apps = await connection.query('SELECT Id, Name FROM ConnectedApplication');
  const entity = apps.records.find((r) => r.Name === 'Wire App').Id;
  const parent = await connection.sobject('PermissionSet').create({ Name: 'Wire_Rows', Label: 'Rows' });
  const access = connection.sobject('SetupEntityAccess');
  const row = await access.create({ ParentId: parent.id, SetupEntityId: entity });
  assert.deepEqual([row.success, row.errors], [true, []]);
  const read = await access.retrieve(row.id);
  assert.deepEqual([read.ParentId, read.SetupEntityType], [parent.id, 'ConnectedApplication']);
  const app = await connection.metadata.read('ConnectedApp', 'Wire_App');
  assert.ok([app.permissionSetName].flat().includes('Wire_Rows'));
  const twice = await refusal(access.create({ ParentId: parent.id, SetupEntityId: entity }));
  assert.equal(twice.errorCode, 'DUPLICATE_VALUE');
  const update = await refusal(access.update({ Id: row.id, ParentId: parent.id }));
  assert.ok(update.errorCode, String(update));
  assert.equal((await access.destroy(row.id)).success, true);
  assert.equal((await refusal(access.retrieve(row.id))).errorCode, 'NOT_FOUND');
  ok('SetupEntityAccess: create, retrieve, twice, never updated, destroy, NOT_FOUND');

  const assignments = connection.sobject('PermissionSetAssignment');
  const [given] = await assignments.create([{ AssigneeId: me.Id, PermissionSetId: parent.id }]);
  assert.equal(given.success, true, JSON.stringify(given));
  await connection.sobject('PermissionSet').update({ Id: parent.id, Label: 'Renamed' });
  assert.equal((await connection.metadata.read('PermissionSet', 'Wire_Rows')).label, 'Renamed');
  assert.equal((await assignments.destroy(given.id)).success, true);
  assert.equal((await connection.sobject('PermissionSet').destroy(parent.id)).success, true);
  ok('PermissionSetAssignment as a collection, PermissionSet updated');

  const described = await connection.sobject('SetupEntityAccess').describe();
  const type = described.fields.find((f) => f.name === 'SetupEntityType');
  assert.deepEqual([type.createable, type.updateable], [false, false]);
  const all = (await connection.describeGlobal()).sobjects.map((s) => s.name);
  assert.ok(all.includes('ConnectedApplication') && all.includes('Organization'));
  assert.ok((await connection.limits()).DailyApiRequests.Max > 0);
  const jobs = await connection.tooling.query(
    'SELECT Id, Status FROM DeployRequest ORDER BY CreatedDate DESC LIMIT 1',
  );
  assert.equal(jobs.totalSize, 1);
  const found = (await connection.request('/')).sobjects;
  assert.ok(found.endsWith('/sobjects'));
  ok('describe, describeGlobal, limits, tooling DeployRequest, resources');
}

async function refusals() {
  const bad = connect({ accessToken: '00D000000000000!not.a.token' });
  const rest = await refusal(bad.query('SELECT Id FROM User'));
  assert.equal(rest.errorCode, 'INVALID_SESSION_ID');
  const soap = await refusal(bad.metadata.describe());
  assert.equal(soap.errorCode, 'sf:INVALID_SESSION_ID');
  const absent = await refusal(connect({ accessToken: token }).request('/no/such/resource'));
  assert.equal(absent.errorCode, 'NOT_FOUND');
  const unknown = await refusal(connect({ accessToken: token }).sobject('NoSuchThing').describe());
  assert.equal(unknown.errorCode, 'NOT_FOUND');
  ok('bad session over REST and SOAP, no such resource, no such sObject');
}

const connection = connect({ accessToken: token });
await logins();
await webServerFlow();
await deploys(connection);
await reading(connection);
await changing(connection);
await records(connection);
await refusals();
console.log('PASS jsforce');
