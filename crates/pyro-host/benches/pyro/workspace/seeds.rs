//! Seeding beside `tar`.

use super::commands::untar;
use super::trees::Trees;
use crate::Result;
use crate::executable::Executable;
use crate::lot::Lot;
use crate::samples::{Samples, milliseconds};

/// Milliseconds.
#[derive(Default)]
pub struct Seeds {
    /// A workspace without files, created.
    pub create: Samples,
    /// What the large tree adds to that.
    pub seed: Samples,
    /// `tar` of the large tree, into a workspace that is there.
    pub tar: Samples,
}

impl Seeds {
    /// Measures in turns, and gives the last workspace that was seeded.
    pub async fn measure(
        lot: &mut Lot<'_>,
        executable: &Executable,
        trees: &Trees,
        n_rounds: usize,
    ) -> Result<(Self, String)> {
        let mut seeds = Self::default();
        let mut last: Option<String> = None;
        for _ in 0..n_rounds {
            if let Some(last) = last.take() {
                lot.delete(&last).await?;
            }
            let (empty, without) = lot.create(None).await?;
            seeds.create.add(milliseconds(without));
            seeds.tar.add(milliseconds(untar(executable, &empty, &trees.large())?));
            lot.delete(&empty).await?;
            let (seeded, with) = lot.create(Some(&trees.large())).await?;
            seeds.seed.add(milliseconds(with) - milliseconds(without));
            last = Some(seeded);
        }
        Ok((seeds, last.ok_or("nothing was seeded")?))
    }
}
