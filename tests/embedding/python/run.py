"""Runs a command in a stock Wasmtime, as `wasmtime run -S http COMPONENT ARGUMENT...` does.

    python run.py COMPONENT ARGUMENT...
"""

import sys

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker

engine = Engine()
component = Component.from_file(engine, sys.argv[1])
linker = Linker(engine)
linker.add_wasip2()
linker.add_wasi_http()
wasi = WasiConfig()
wasi.argv = sys.argv[1:]
wasi.inherit_stdin()
wasi.inherit_stdout()
wasi.inherit_stderr()
store = Store(engine)
store.set_wasi(wasi)
store.set_wasi_http()
instance = linker.instantiate(store, component)
interface = next(name for name in component.type.exports(engine) if name.startswith("wasi:cli/run@"))
run = instance.get_func(store, instance.get_export_index(store, "run", instance.get_export_index(store, interface)))
sys.exit(0 if run(store).tag == "ok" else 1)
