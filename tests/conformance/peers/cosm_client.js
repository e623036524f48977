// The npm package "cosm" against a hub: cosm_client.js URL KEY
const { promisify } = require("util");
const { Cosm, Datastream } = require("cosm");

const [server, key] = process.argv.slice(2);

async function talk() {
  const cosm = new Cosm(key, { server });
  const said = {};
  const ask = (owner, method, ...given) => promisify(owner[method].bind(owner))(...given);

  said.id = await ask(cosm, "create", { title: "Greenhouse", version: "1.0.0" });
  const feed = await ask(cosm, "get", said.id);
  await ask(feed, "addStream", { id: "soil", current_value: "311" });
  const soil = new Datastream(cosm, feed, { id: "soil", queue_size: 2 });
  soil.addPoint(309, new Date(Date.UTC(2013, 5, 3, 9)));
  said.recorded = (await ask(soil, "addPoint", 310, new Date(Date.UTC(2013, 5, 3, 10)))).statusCode;
  feed.title = "Glass house";
  feed.addTag("plants");
  said.saved = (await ask(feed, "save")).statusCode;
  said.read = await ask(feed, "get");
  said.listed = await ask(cosm, "list", { tag: "plants" });
  said.absent = JSON.parse(await ask(cosm, "get", 999999).catch((body) => body));
  said.deleted = (await ask(feed, "delete")).statusCode;
  console.log(JSON.stringify(said));
}

talk().catch((error) => {
  console.error(error);
  process.exit(1);
});
