#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tables, JSON and checks from what `pumice kernels --json` said on many devices; tools/vendor-lab runs it.

usage: vendor-table.py table|json|check FOLDER    DEVICE.PLAN.json, .err and .status for every run; "devices": name, what it is
"""
import datetime
import glob
import json
import os
import re
import sys

VENDORS = {"amd": "AMD", "intel": "Intel", "nvidia": "NVIDIA (NVK)", "adreno": "Adreno", "apple": "Apple", "mali": "Mali"}
MATRIX_SHARE = 0.9  # of the FLOP of training's products: small ones at the edges may go another way

# Faults that are known: (device's name begins with, kernel, what is known). They are printed, and do not fail a check.
KNOWN = [("mali-", "sample keeps", "64 registers are 13 too few for three candidates at a time with a limit (top_k, top_p); training has no use of it")]


def read_runs(folder):
    """[(device, plan, result or None, what went wrong or None, messages)] in the order of the devices."""
    order = [line.split("\t")[0] for line in open(os.path.join(folder, "devices"))]
    runs = []
    for path in glob.glob(os.path.join(folder, "*.status")):
        device, plan, _ = os.path.basename(path).split(".")
        base = path[: -len(".status")]
        status, messages = int(open(path).read()), open(base + ".err", errors="replace").read()
        try:
            result, wrong = json.load(open(base + ".json")), None
        except ValueError:
            lines = [line for line in messages.splitlines() if not line.startswith("device:")]
            result, wrong = None, "no result (exit %d): %s" % (status, " / ".join(lines[-3:])[:400])
        runs.append((device, plan, result, wrong, messages))
    return sorted(runs, key=lambda run: (order.index(run[0]), run[1]))


def products_by_matrices(result):
    """The share of the FLOP of training's products, attention's too, that matrix units do."""
    done, total = 0.0, 0.0
    for kernel in result["kernels"]:
        if kernel["name"].startswith(("matmul_", "attention_")):
            flop = sum(use["flop"] for use in kernel["uses"] if use["work"] == "train")
            total += flop
            done += flop if kernel["variant"].startswith("coopmat") else 0
    return done / total if total else 1.0


def has_matrices(result):
    return any(re.search(r" (f16|bf16)->f32$", unit) for unit in result["device"]["matrix_units"])


def memory_used(kernel):
    """Registers spilled; where the driver counts none, what its arrays of registers take in memory all the same."""
    figures = kernel["figures"]
    return figures.get("spills", 0) or figures.get("scratch", 0)


def spilled(result):
    """A sentence for each kernel that keeps registers in memory: how many variants of it do, and the worst."""
    kernels = {}
    for kernel in result["kernels"]:
        if memory_used(kernel):
            kernels.setdefault(kernel["name"], []).append(kernel)
    for name, variants in kernels.items():
        worst = max(variants, key=memory_used)
        yield "%s keeps registers in memory in %d of its variants; the worst: %d spilled, %d bytes, %s (%s)" % (name, len(variants),
            worst["figures"].get("spills", 0), worst["figures"].get("scratch", 0),
            " ".join("%s=%d" % constant for constant in worst["constants"].items()), worst["uses"][0]["shape"])


def check(runs):
    have_kernel = bool(glob.glob(os.path.join(os.path.dirname(__file__), "..", "shaders", "matmul_coopmat*.comp")))
    bad = 0
    for device, plan, result, wrong, messages in runs:
        faults = [wrong] if wrong else []
        if result:
            if not result["device"]["statistics"]:
                faults.append("the driver gives no figures")
            if result.get("validation_messages"):
                first = next((line for line in messages.splitlines() if line.startswith("validation:")), "")
                faults.append("%d validation messages, the first: %s" % (result["validation_messages"], first[:500]))
            faults += spilled(result)
            share = products_by_matrices(result)
            asked = not plan.startswith("f32") # of these plans products are to be in f32
            if asked and have_kernel and has_matrices(result) and share < MATRIX_SHARE:
                faults.append("%.0f %% of the products' FLOP go to the matrix units that the device has" % (100 * share))
        why = {fault: next((why for name, kernel, why in KNOWN if device.startswith(name) and fault.startswith(kernel)), None)
               for fault in faults}
        for fault in faults:
            print("%s, %s: %s%s" % (device, plan, fault, "; known: " + why[fault] if why[fault] else ""))
        bad += any(why[fault] is None for fault in faults)
    kernels = sum(len(result["kernels"]) for _, _, result, _, _ in runs if result)
    print("%d kernels on %d devices; %d of %d runs with faults" % (kernels, len({run[0] for run in runs}), bad, len(runs)))
    return 1 if bad else 0


def mesa_version(runs):
    versions = {result["device"]["driver"] for _, _, result, _, _ in runs if result}
    found = {re.search(r"Mesa ([0-9.]+)", version).group(1) for version in versions if "Mesa" in version}
    return ", ".join(sorted(found))


def table(runs, folder):
    what = dict(line.rstrip("\n").split("\t") for line in open(os.path.join(folder, "devices")))
    print("<!-- SPDX-License-Identifier: MIT -->\n# Kernels on vendors' compilers\n")
    print("Made by `tools/vendor-lab --devices all >tools/vendor-lab.md`, Mesa %s, %s; nothing was executed.\n" %
        (mesa_version(runs), datetime.date.today().isoformat()))
    print("A cell: registers, the worst over the constants that a plan of SmolLM2-135M's shapes uses; in bold what of them lies")
    print("in memory. A dash: not used there. What a register is differs: 32 bits of a lane (AMD's vector registers, NVIDIA, Mali),")
    print("16 (Apple), four times 32 (Adreno); Intel's are the most in use at a time, of all lanes together. Kernels of rows and of")
    print("attention stand with their variant.")
    for prefix, vendor in VENDORS.items():
        columns = [(device, result, wrong) for device, _, result, wrong, _ in runs if device.startswith(prefix + "-")]
        if not columns:
            continue
        cells = {}
        for device, result, _ in columns:
            for kernel in result["kernels"] if result else []:
                row = cells.setdefault((kernel["name"], kernel["variant"]), {})
                old = row.get(device, (0, 0))
                row[device] = tuple(max(a, b) for a, b in zip(old, (kernel["figures"].get("registers", 0), memory_used(kernel))))
        print("\n## %s\n\n%s.\n" % (vendor, "; ".join("%s: %s" % (device.split("-")[1], what[device]) for device, _, _ in columns)))
        print("| kernel | " + " | ".join(device.split("-")[1] for device, _, _ in columns) + " |")
        print("| --- |" + " ---: |" * len(columns))
        for (name, variant), row in sorted(cells.items()):
            texts = []
            for device, _, _ in columns:
                registers, spills = row.get(device, (None, 0))
                texts.append("-" if registers is None else "%d" % registers + (" **%d**" % spills if spills else ""))
            print("| %s | %s |" % (name if name.startswith("matmul_") else "%s (%s)" % (name, variant), " | ".join(texts)))
        for device, _, wrong in columns:
            if wrong:
                print("\n%s: %s" % (device, wrong))
    return 1 if any(wrong for _, _, _, wrong, _ in runs) else 0


def main():
    mode, folder = sys.argv[1:3]
    runs = read_runs(folder)
    if mode == "check":
        return check(runs)
    if mode == "table":
        return table(runs, folder)
    devices = {device: result if result else {"error": wrong} for device, _, result, wrong, _ in runs}
    print(json.dumps({"mesa": mesa_version(runs), "date": datetime.date.today().isoformat(), "devices": devices}))
    return 1 if any(wrong for _, _, _, wrong, _ in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
