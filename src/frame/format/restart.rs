//! Reading a file with types that are found on the way: optimistically, and when a block
//! does not fit, once more over the whole file, and again from the start. What a block
//! is and how it becomes a frame is the [`Plan`]'s.

use super::pipeline::Pipeline;
use super::{FrameReader, Step};
use crate::error::{Error, Result};
use crate::progress::Progress;
use polars::prelude::DataFrame;
use std::sync::Arc;

/// The blocks of a file from its start.
pub(super) type Blocks<B> = Box<dyn Iterator<Item = Result<B>> + Send>;

/// How a file is read.
pub(super) trait Plan: Clone + Send + Sync + 'static {
    /// A piece of the file.
    type Block: Send + 'static;
    /// What is found of the types in a block.
    type Kinds: Send + 'static;

    /// Starts to read the file.
    fn blocks(&self, label: &str, progress: &Arc<dyn Progress>) -> Result<Blocks<Self::Block>>;
    /// Makes a frame of a block.
    fn parse(&self, block: &Self::Block) -> Outcome;
    /// Finds the types in a block, and its number of rows.
    fn kinds(&self, block: &Self::Block) -> Result<(Self::Kinds, u64)>;
    /// Takes the types over; whether that changed anything.
    fn widen(&mut self, kinds: Self::Kinds) -> bool;
    /// A frame with the columns and no rows.
    fn empty(&self) -> Result<DataFrame>;
    /// What errors call the file.
    fn name(&self) -> &str;
}

/// What became of a block.
pub(super) enum Outcome {
    /// A frame, and the number of bad records that were left out.
    Parsed(DataFrame, u64),
    /// A type is too narrow.
    Misfit,
    Failed(Error),
}

/// Reads a file by its plan.
pub(super) struct Restarting<P: Plan> {
    plan: P,
    progress: Arc<dyn Progress>,
    /// Rows wanted at the most.
    limit: Option<u64>,
    work: Pipeline<Outcome>,
    /// Rows handed out in this pass.
    rows: u64,
    /// Frames handed out in this pass.
    frames: u64,
    skipped: u64,
    /// Whether to tell of bad records.
    warns: bool,
    ended: bool,
}

impl<P: Plan> Restarting<P> {
    /// Starts with the blocks of a pass that has been started already.
    pub fn new(
        plan: P,
        blocks: Blocks<P::Block>,
        limit: Option<u64>,
        warns: bool,
        progress: Arc<dyn Progress>,
    ) -> Result<Restarting<P>> {
        let work = parsing(&plan, blocks)?;
        Ok(Restarting {
            plan,
            progress,
            limit,
            work,
            rows: 0,
            frames: 0,
            skipped: 0,
            warns,
            ended: false,
        })
    }

    /// Looks at the whole file, and starts to parse it again.
    fn restart(&mut self) -> Result<()> {
        let plan = self.plan.clone();
        let blocks = self.plan.blocks("finding types", &self.progress)?;
        let mut work = Pipeline::start(blocks, move |block| plan.kinds(&block))?;
        let (mut rows, mut changed) = (0, false);
        while self.limit.is_none_or(|limit| rows < limit) {
            self.progress.check()?;
            let Some(kinds) = work.next() else { break };
            let (kinds, more) = kinds??;
            changed |= self.plan.widen(kinds);
            rows += more;
        }
        drop(work);
        if !changed {
            return Err(changed_meanwhile(self.plan.name()));
        }
        let blocks = self.plan.blocks("reading", &self.progress)?;
        self.work = parsing(&self.plan, blocks)?;
        (self.rows, self.frames, self.skipped) = (0, 0, 0);
        Ok(())
    }

    fn step(&mut self) -> Result<Step> {
        loop {
            self.progress.check()?;
            if self.ended
                || self
                    .limit
                    .is_some_and(|limit| self.rows >= limit && self.frames > 0)
            {
                self.finish();
                return Ok(Step::Done);
            }
            match self.work.next().transpose()? {
                Some(Outcome::Parsed(frame, skipped)) => {
                    self.skipped += skipped;
                    let frame = self.limited(frame);
                    if frame.height() > 0 {
                        return Ok(self.hand_out(frame));
                    }
                }
                Some(Outcome::Misfit) => {
                    let told = self.frames > 0;
                    self.restart()?;
                    if told {
                        return Ok(Step::Restart);
                    }
                }
                Some(Outcome::Failed(error)) => return Err(error),
                None => {
                    self.ended = true;
                    if self.frames == 0 {
                        let frame = self.plan.empty()?;
                        return Ok(self.hand_out(frame));
                    }
                }
            }
        }
    }

    fn limited(&self, frame: DataFrame) -> DataFrame {
        match self.limit {
            Some(limit) => frame.head(usize::try_from(limit.saturating_sub(self.rows)).ok()),
            None => frame,
        }
    }

    fn hand_out(&mut self, frame: DataFrame) -> Step {
        self.rows += frame.height() as u64;
        self.frames += 1;
        Step::Frame(frame)
    }

    fn finish(&mut self) {
        self.ended = true;
        if self.warns && self.skipped > 0 {
            let lines = if self.skipped == 1 { "line" } else { "lines" };
            self.progress.note(&format!(
                "{}: left out {} bad {lines}",
                self.plan.name(),
                self.skipped
            ));
            self.skipped = 0;
        }
    }
}

impl<P: Plan> FrameReader for Restarting<P> {
    fn next(&mut self) -> Result<Step> {
        let step = self.step();
        self.ended |= step.is_err();
        step
    }
}

fn parsing<P: Plan>(plan: &P, blocks: Blocks<P::Block>) -> Result<Pipeline<Outcome>> {
    let plan = plan.clone();
    Pipeline::start(blocks, move |block| plan.parse(&block))
}

/// The error for a second pass that found another file than the first.
pub(super) fn changed_meanwhile(name: &str) -> Error {
    Error::failed("the file has changed while it was read").on(name)
}
