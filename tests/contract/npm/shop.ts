// A merchant's program on the types that openapi-typescript made: node shop.js URL KEY SECRET ORDER_NO
import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths, webhooks } from "./api.js";

declare const process: { argv: string[]; exit(code: number): never };
const [url, key, secret, orderNo] = process.argv.slice(2) as [string, string, string, string];
const encoder = new TextEncoder();

function hex(bytes: ArrayBuffer): string {
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const signing: Middleware = {
  async onRequest({ request }) {
    const address = new URL(request.url);
    const timestamp = String(Math.floor(Date.now() / 1000));
    const nonce = crypto.randomUUID();
    const body = await request.clone().arrayBuffer();
    const lines = [
      "v1", request.method, address.pathname, address.search.slice(1), timestamp, nonce,
      request.headers.get("Idempotency-Key") ?? "", hex(await crypto.subtle.digest("SHA-256", body)),
    ];
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const mac = await crypto.subtle.importKey("raw", encoder.encode(secret), algorithm, false, ["sign"]);
    const signature = hex(await crypto.subtle.sign("HMAC", mac, encoder.encode(lines.join("\n"))));
    request.headers.set("X-API-Key", key);
    request.headers.set("X-Signature", `v1=${signature}`);
    request.headers.set("X-Timestamp", timestamp);
    request.headers.set("X-Nonce", nonce);
    return request;
  },
};

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

// What a receiver of webhooks is given: the type of an event decides the type of its data.
type Told = webhooks["payment.succeeded"]["post"]["requestBody"]["content"]["application/json"];
export const captured = (event: Told): number => event.data.captured_amount;
export const known = (code: components["schemas"]["ErrorCode"]): boolean => code !== "internal_error";

const api = createClient<paths>({ baseUrl: url });
api.use(signing);

const keyed = (number: number) => ({ header: { "Idempotency-Key": `${orderNo}-${number}` } });
const created = await api.POST("/api/v1/payments", {
  params: keyed(1),
  body: {
    order_no: orderNo, amount: 10000, currency: "USD", subject: "Two coffees", channel: "",
    metadata: { simulate: "auto_pay" },
  },
});
must(created.data !== undefined, JSON.stringify(created.error));
const payment: components["schemas"]["PaymentOutput"] = created.data.data;
must(payment.status === "succeeded", payment.status);

// The type of the action decides what it holds.
type Payment = components["schemas"]["PaymentOutput"];
function leadCustomer({ next_action: action }: Payment): string {
  switch (action?.type) {
    case "redirect": return action.url;
    case "qr_code": return action.content;
    case "form": return action.url + Object.keys(action.fields).join();
    case "sdk": return Object.values(action.params).join();
    case undefined: return "";
  }
}
const open = await api.POST("/api/v1/payments", {
  params: { header: { "Idempotency-Key": `${orderNo}-open` } },
  body: { order_no: `${orderNo}-open`, amount: 10000, currency: "USD", subject: "Two coffees", channel: "" },
});
must(open.data !== undefined, JSON.stringify(open.error));
must(leadCustomer(open.data.data) === open.data.data.payment_url, "the customer goes to the page");
must(leadCustomer(payment) === "", "nothing is to be done");

const refund = await api.POST("/api/v1/refunds", {
  params: keyed(2),
  body: { payment_no: payment.payment_no, amount: 4000, reason: "one coffee back" },
});
must(refund.data?.data.status === "succeeded", JSON.stringify(refund.error));
const refused = await api.POST("/api/v1/refunds", {
  params: keyed(3), body: { payment_no: payment.payment_no, amount: 7000 },
});
must(refused.error?.error_code === "refund_exceeds_payment", JSON.stringify(refused.error));

const listed = await api.GET("/api/v1/webhook-deliveries", { params: { query: { status: "delivered" } } });
const first = listed.data?.data.items[0];
must(first !== undefined, JSON.stringify(listed.error));
const delivery = await api.GET("/api/v1/webhook-deliveries/{delivery_id}", {
  params: { path: { delivery_id: first.id } },
});
must(delivery.data?.data.attempts[0]?.status_code === 200, JSON.stringify(delivery.error));
console.log(JSON.stringify({ payment_no: payment.payment_no, refund_no: refund.data.data.refund_no }));
