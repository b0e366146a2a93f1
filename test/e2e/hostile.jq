# SPDX-License-Identifier: Apache-2.0
# From the OpenAPI v3 document of the core group: each place in a Pod with a value of a type that it
# can't have, as lines of "path<TAB>object". Paths leave out indexes, as Go's JSON decoder does; of
# values that decode themselves (quantities, times, int-or-string) it tells no path: "-".

def is_quantity($path):
    $path | join(".") | test("limits|requests|overhead|divisor|sizeLimit|allocatedResources");

def places($all; $path):
    if has("allOf") then .allOf[0] | places($all; $path)
    elif has("$ref") then $all[."$ref" | ltrimstr("#/components/schemas/")] | places($all; $path)
    elif has("properties") then
        [$path, "text"], (.properties | to_entries[] | .key as $key | .value | places($all; $path + [$key]))
    elif .type == "array" then [$path, {}], (.items | places($all; $path + [0]))
    elif .type == "object" and has("additionalProperties") then
        [$path, []], (.additionalProperties | places($all; $path + ["any-key"]))
    elif .type == "object" then empty # Anything may stand there.
    elif .type == "string" and (has("format") or is_quantity($path)) then [$path, {}, "-"]
    elif .type == "string" then [$path, 5], [$path, true], [$path, {}]
    elif .type == "boolean" then [$path, "true"], [$path, 0]
    else [$path, "text"], [$path, 1.5], [$path, []] end;

.components.schemas as $all
| $all["io.k8s.api.core.v1.Pod"]
| places($all; [])
| select(.[0] != [])
| .[0] as $path | .[1] as $wrong
| [(.[2] // ($path | map(strings) | join(".") | sub("\\.any-key$"; ""))),
   ({apiVersion: "v1", kind: "Pod"} | setpath($path; $wrong) | tojson)]
| @tsv
