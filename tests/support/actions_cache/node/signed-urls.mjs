// Signs URLs of a blob, by port of an Azurite and name: prints as JSON one to write it and two to read
// it, the first of which has expired. The container is made if it is missing.

import {
  BlobSASPermissions,
  BlobServiceClient,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";

// Azurite's account, which is in its documentation.
const account = "devstoreaccount1";
const key =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const [port, name] = process.argv.slice(2);
const credential = new StorageSharedKeyCredential(account, key);
const url = `http://127.0.0.1:${port}/${account}`;
const container = new BlobServiceClient(url, credential).getContainerClient("actions-cache");
await container.createIfNotExists();
const blob = container.getBlockBlobClient(name);
const sign = (permissions, minutes) =>
  blob.generateSasUrl({
    permissions: BlobSASPermissions.parse(permissions),
    startsOn: new Date(Date.now() - 60 * 60_000),
    expiresOn: new Date(Date.now() + minutes * 60_000),
  });
const read = [await sign("r", -1), await sign("r", 10)];
console.log(JSON.stringify({ write: await sign("cw", 60), read }));
