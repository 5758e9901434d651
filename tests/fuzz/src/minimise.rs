// SPDX-License-Identifier: GPL-2.0
//! A small corpus from a large one: the programs that together reach every place of the
//! module that any of them reached, without the parts that it does not take.

use crate::campaign::read_corpus;
use crate::execute::Executor;
use crate::program::Program;
use std::collections::HashSet;
use std::path::Path;

type Places = HashSet<u64>;

pub fn minimise(from: &Path, to: &Path, tries: u32) -> Result<(), String> {
    let executor = Executor::new()?;
    let reach = |program: &Program| -> Result<Places, String> {
        executor.run(program)?;
        Ok(executor.kcov.as_ref().ok_or("this kernel has no KCOV: KERNEL=debug has")?.last())
    };
    std::fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
    let mut candidates = Vec::new();
    for (path, program) in read_corpus(from) {
        candidates.push((path, reach(&program)?, program));
    }
    let mut reached = Places::new();
    let mut kept = 0;
    loop {
        candidates.retain(|(_, places, _)| !places.is_subset(&reached));
        let gain = |(_, places, program): &(_, Places, Program)| {
            let steps: usize = program.phases.iter().map(|p| p.steps.len()).sum();
            1000 * places.difference(&reached).count() / (10 + steps)
        };
        let best = (0..candidates.len()).max_by_key(|&i| gain(&candidates[i]));
        let Some((path, places, program)) = best.map(|i| candidates.swap_remove(i)) else { break };
        let needed: Places = places.difference(&reached).copied().collect();
        let small = shrink(&program, tries, |p| Ok(needed.is_subset(&reach(p)?)))?;
        reached.extend(places);
        let name = path.file_name().expect("a file's name");
        std::fs::write(to.join(name), small.to_json() + "\n").map_err(|e| format!("{}: {e}", to.display()))?;
        kept += 1;
        println!("{}: {} places more", path.display(), needed.len());
    }
    println!("{kept} programs reach {} places", reached.len());
    Ok(())
}

/// Leaves out phases, then steps, as long as `good` says that the rest will do.
fn shrink(
    program: &Program,
    tries: u32,
    mut good: impl FnMut(&Program) -> Result<bool, String>,
) -> Result<Program, String> {
    let mut best = program.clone();
    let mut left = tries;
    for smaller in [without_phase, without_step] {
        let mut n = 0;
        while left > 0 {
            let Some(next) = smaller(&best, n) else { break };
            left -= 1;
            if good(&next)? {
                best = next;
            } else {
                n += 1;
            }
        }
    }
    Ok(best)
}

fn without_phase(program: &Program, n: usize) -> Option<Program> {
    let mut out = program.clone();
    (n < out.phases.len() && out.phases.len() > 1).then(|| out.phases.remove(n))?;
    Some(out)
}

fn without_step(program: &Program, mut n: usize) -> Option<Program> {
    let mut out = program.clone();
    for phase in &mut out.phases {
        if n < phase.steps.len() {
            phase.steps.remove(n);
            return Some(out);
        }
        n -= phase.steps.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Op;
    use rand::SeedableRng;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(11);
        let program = crate::generate::program(&mut rng);
        let wanted = program.phases[0].steps[0].op.clone();
        let has = |p: &Program, op: &Op| p.phases.iter().flat_map(|p| &p.steps).any(|s| s.op == *op);
        let small = shrink(&program, 1000, |p| Ok(has(p, &wanted))).expect("it runs");
        assert_eq!(small.phases.iter().map(|p| p.steps.len()).sum::<usize>(), 1);
        assert!(has(&small, &wanted));
        // With few tries something is left over.
        let large = shrink(&program, 1, |p| Ok(has(p, &wanted))).expect("it runs");
        assert!(large.to_json().len() > small.to_json().len());
    }
}
