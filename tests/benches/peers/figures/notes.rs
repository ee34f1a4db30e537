//! Notifications from the server, of one kind: log messages. Progress, which other bridges may pass on, is not measured.

use super::Bench;
use crate::results::Measure;
use crate::transport::Transport;

pub fn measure(bench: &mut Bench) {
    let count = bench.scale.notes;
    for transport in Transport::ALL {
        let mut clients = bench.start_all(transport);
        for client in clients.iter_mut().flatten() {
            let _ = client.notes(count / 10);
        }
        for index in bench.rounds() {
            let name = bench.competitors[index].name;
            let notes = match &mut clients[index] {
                Ok(client) => client.notes(count),
                Err(why) => Err(why.clone()),
            };
            let results = &mut bench.results;
            match notes {
                Ok(notes) if notes.arrived == 0 => {
                    results.fail(Measure::Notes, transport, name, "passes no log messages on".to_owned());
                    clients[index] = Err("passes no log messages on".to_owned());
                }
                Ok(notes) => {
                    results.add(Measure::Notes, transport, name, notes.arrived as f64 / notes.time.as_secs_f64());
                    if notes.arrived < count {
                        results.note(Measure::Notes, transport, name, format!("{} of {count} arrive", notes.arrived));
                    }
                }
                Err(why) => {
                    results.fail(Measure::Notes, transport, name, why.clone());
                    clients[index] = Err(why);
                }
            }
        }
    }
}
