// SPDX-License-Identifier: GPL-2.0
//! Changing programs: operations come and go, phases of another program are spliced in,
//! numbers are moved. Numbers are found in the JSON, so that none is left out.

use crate::generate::{self, Generator};
use crate::program::{Phase, Program, THREADS};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::Rng;
use serde_json::Value;

/// Another program, made of `program` and sometimes `other`.
pub fn mutate(rng: &mut StdRng, program: &Program, other: &Program) -> Program {
    let mut out = program.clone();
    for _ in 0..rng.gen_range(1..=4) {
        once(rng, &mut out, other);
    }
    out.trim();
    out
}

fn once(rng: &mut StdRng, program: &mut Program, other: &Program) {
    match rng.gen_range(0..20) {
        0..=4 => insert(rng, program),
        5..=6 => with_step(rng, program, |_, phase, i| {
            phase.steps.remove(i);
        }),
        7 => with_step(rng, program, |_, phase, i| phase.steps.insert(i, phase.steps[i].clone())),
        8 => with_step(rng, program, |rng, phase, i| phase.steps[i].thread = rng.gen_range(0..THREADS as u8)),
        9 => with_step(rng, program, |rng, phase, i| {
            let to = rng.gen_range(0..phase.steps.len());
            phase.steps.swap(i, to);
        }),
        10 => {
            if let Some(phase) = program.phases.choose_mut(rng) {
                phase.repeat = rng.gen_range(1..=16);
            }
        }
        11..=12 => splice(rng, program, other),
        13 => {
            let setup = generate::program(rng).setup;
            if let Some(slot) = program.setup.slots.choose_mut(rng) {
                *slot = setup.slots.choose(rng).expect("there are always slots").clone();
            }
        }
        _ => {
            if let Some(changed) = change_numbers(rng, program) {
                *program = changed;
            }
        }
    }
}

fn insert(rng: &mut StdRng, program: &mut Program) {
    let step = Generator { rng, setup: program.setup.clone() }.step(THREADS as u8);
    match program.phases.choose_mut(rng) {
        Some(phase) => {
            let at = rng.gen_range(0..=phase.steps.len());
            phase.steps.insert(at, step);
        }
        None => program.phases.push(Phase { repeat: 1, steps: vec![step] }),
    }
}

fn with_step(rng: &mut StdRng, program: &mut Program, change: impl FnOnce(&mut StdRng, &mut Phase, usize)) {
    let mut full: Vec<_> = program.phases.iter_mut().filter(|p| !p.steps.is_empty()).collect();
    if let Some(phase) = full.choose_mut(rng) {
        let at = rng.gen_range(0..phase.steps.len());
        change(rng, phase, at);
    }
}

fn splice(rng: &mut StdRng, program: &mut Program, other: &Program) {
    if let Some(phase) = other.phases.choose(rng) {
        let at = rng.gen_range(0..=program.phases.len());
        program.phases.insert(at, phase.clone());
    }
}

/// Moves some numbers; `None` if they do not make a program any more.
fn change_numbers(rng: &mut StdRng, program: &Program) -> Option<Program> {
    let mut json = serde_json::to_value(program).ok()?;
    let count = numbers(&mut json, &mut |_| {});
    for _ in 0..rng.gen_range(1..=3) {
        let wanted = rng.gen_range(0..count.max(1));
        let mut n = 0;
        numbers(&mut json, &mut |value| {
            if n == wanted {
                *value = another(rng, value);
            }
            n += 1;
        });
    }
    serde_json::from_value(json).ok()
}

/// Calls `each` for every number; how many there are.
fn numbers(value: &mut Value, each: &mut impl FnMut(&mut Value)) -> usize {
    match value {
        Value::Number(_) => {
            each(value);
            1
        }
        Value::Array(items) => items.iter_mut().map(|item| numbers(item, each)).sum(),
        Value::Object(fields) => fields.values_mut().map(|item| numbers(item, each)).sum(),
        _ => 0,
    }
}

fn another(rng: &mut StdRng, value: &Value) -> Value {
    let Some(n) = value.as_i64() else {
        return Value::from(rng.gen_range(0..u64::MAX));
    };
    let close = [1, -1, 8, -8, 4096, -4096];
    let known = [0i64, 1, 2, 3, 4, 7, 16, 255, 256, 1024, 1025, 4095, 4096, 65536, 1 << 31, 1 << 40];
    match rng.gen_range(0..4) {
        0 => Value::from(n ^ (1 << rng.gen_range(0..32))),
        1 => Value::from(*known.choose(rng).expect("some")),
        _ => Value::from(n.wrapping_add(*close.choose(rng).expect("some"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn many() -> impl Iterator<Item = Program> {
        let mut rng = StdRng::seed_from_u64(7);
        (0..300).map(move |_| generate::program(&mut rng))
    }

    #[test]
    fn json_gives_the_same_program_again() {
        for program in many() {
            assert_eq!(Program::from_json(&program.to_json()).expect("readable"), program);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_programs() {
        let text = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let a = generate::program(&mut rng);
            let b = generate::program(&mut rng);
            (0..20).fold(a, |p, _| mutate(&mut rng, &p, &b)).to_json()
        };
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn mutants_differ_and_stay_in_bounds() {
        let mut rng = StdRng::seed_from_u64(8);
        let mut changed = 0;
        for program in many() {
            let mutant = mutate(&mut rng, &program, &program);
            changed += usize::from(mutant != program);
            let mut trimmed = mutant.clone();
            trimmed.trim();
            assert_eq!(mutant, trimmed);
        }
        assert!(changed > 270, "only {changed} of 300 changed");
    }

    #[test]
    fn every_number_can_change() {
        let program = many().next().expect("one");
        let mut json = serde_json::to_value(&program).expect("plain data");
        let text = program.to_json();
        let digits = text.split(|c: char| !c.is_ascii_digit()).filter(|s| !s.is_empty()).count();
        // Names with a digit (Wire4) are no numbers.
        let names = text.matches("Wire").count() + text.matches("\"Lo").count() + text.matches("Dup2").count();
        assert_eq!(numbers(&mut json, &mut |_| {}), digits - names);
    }

    #[test]
    fn every_kind_of_operation_is_generated() {
        let mut seen = std::collections::BTreeSet::new();
        let mut rng = StdRng::seed_from_u64(9);
        for _ in 0..2000 {
            for phase in generate::program(&mut rng).phases {
                seen.extend(phase.steps.iter().map(|s| s.op.name()));
            }
        }
        let (_, ops) = include_str!("program.rs").split_once("pub enum Op {\n").expect("it is there");
        let (ops, _) = ops.split_once("\n}\n").expect("it ends");
        let names = ops.lines().filter_map(|l| l.strip_prefix("    ")).filter(|l| l.starts_with(char::is_uppercase));
        let names: std::collections::BTreeSet<_> =
            names.map(|l| l.split(|c: char| !c.is_alphanumeric()).next().expect("a name").to_owned()).collect();
        assert_eq!(seen, names);
    }
}
