//! What a stretch of a pass does, as operations on lanes: instructions with their functions written out.

use super::trace::{Id, Line, Record, Verb};
use crate::kernels::machine::{Instruction, Kernel, Operand, Place};
use crate::kernels::sum::BLOCK;
use crate::scalar::ScalarFn;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// A stretch of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    Arena,
    /// The blocks in cache.
    Block,
    /// A constant at this address.
    Constant(usize),
    /// The position vector.
    Position,
    /// Where results but the first are copied to.
    Results,
    /// Where a cursor of a recurrence is.
    Cursor(usize),
}

/// What is read or written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The chunk at the place of the pass.
    Stream,
    /// A chunk with one value in all lanes.
    All,
    /// One element.
    One,
}

/// A place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    pub base: Base,
    /// Elements from the base.
    pub at: usize,
    pub extent: Extent,
}

/// What is known of places in the arena.
#[derive(Default)]
pub struct Places {
    /// Parameters that are read from elsewhere, by their places in the arena: from which base, from which element on.
    pub parameters: Vec<(Range<usize>, Base, usize)>,
    /// Where values are copied to as results, by their places.
    pub results: HashMap<usize, Vec<usize>>,
    /// Places of single values that are read in all lanes.
    pub spread: HashSet<usize>,
}

impl Places {
    fn base(&self, place: &Place, element: usize) -> (Base, usize) {
        match place {
            Place::Constant(tensor, start) => {
                let address = tensor.buffer()[start + element..].as_ptr() as usize;
                (Base::Constant(address), 0)
            }
            Place::Arena(start) => {
                let at = start + element;
                let found = self
                    .parameters
                    .iter()
                    .find(|(range, ..)| range.contains(&at));
                match found {
                    Some((range, base, start)) => (*base, start + at - range.start),
                    None => (Base::Arena, at),
                }
            }
        }
    }
}

/// What is done next.
#[derive(Clone, Copy, Debug)]
pub enum Item {
    /// A line is carried out.
    Make(Id),
    /// A value is written to memory.
    Store([Id; 1], Location),
    /// A value is added to a sum.
    Sum(usize, [Id; 1]),
    /// A product of two is added to a sum.
    Dot(usize, [Id; 2]),
    /// A value becomes that of an input in the next step.
    Carry([Id; 1], Id),
}

impl Item {
    /// The values that it reads.
    pub fn reads<'a>(&'a self, lines: &'a [Line]) -> &'a [Id] {
        match self {
            Item::Make(id) => lines[*id].arguments(),
            Item::Store(x, _) | Item::Sum(_, x) | Item::Carry(x, _) => x,
            Item::Dot(_, x) => x,
        }
    }
}

/// Operations on lanes, in order.
pub struct Code {
    pub lines: Vec<Line>,
    pub items: Vec<Item>,
    /// Where inputs are, by number.
    pub inputs: Vec<Location>,
    /// Where sums are written, in order.
    pub sums: Vec<Vec<Location>>,
}

/// Writes instructions out as operations on lanes.
pub struct Coder<'a> {
    record: Record,
    code: Code,
    /// The value that is in a place now.
    present: HashMap<Key, Id>,
    places: &'a Places,
    /// Elements of the arrays of the pass.
    size: usize,
}

/// Base and element of a place, and whether it is a chunk at the place of the pass.
type Key = (Base, usize, bool);

fn key(location: &Location) -> Key {
    (
        location.base,
        location.at,
        location.extent == Extent::Stream,
    )
}

impl<'a> Coder<'a> {
    /// Nothing yet; `scales` as for [`Record::new`].
    pub fn new(size: usize, scales: bool, places: &'a Places) -> Coder<'a> {
        let code = Code {
            lines: vec![],
            items: vec![],
            inputs: vec![],
            sums: vec![],
        };
        Coder {
            record: Record::new(scales),
            code,
            present: HashMap::new(),
            places,
            size,
        }
    }

    /// The value at a location.
    pub fn load(&mut self, location: Location) -> Id {
        *self.present.entry(key(&location)).or_insert_with(|| {
            self.code.inputs.push(location);
            self.record.input(self.code.inputs.len() - 1)
        })
    }

    /// The value that is at a location now, if it is known.
    pub fn present(&self, location: &Location) -> Option<Id> {
        self.present.get(&key(location)).copied()
    }

    /// Writes a value to a location.
    pub fn store(&mut self, value: Id, location: Location) {
        self.present.insert(key(&location), value);
        self.code.items.push(Item::Store([value], location));
    }

    /// Carries out a function.
    pub fn apply(&mut self, function: ScalarFn, arguments: &[Id]) -> Id {
        let before = self.record.lines.len();
        let value = self.record.apply(function, arguments);
        let made = (before..self.record.lines.len()).filter(|&id| !self.record.lines[id].is_leaf());
        self.code.items.extend(made.map(Item::Make));
        value
    }

    /// What an instruction reads.
    fn read(&mut self, kernel: Option<&Kernel>, input: &Operand) -> Id {
        match read(kernel, input, self.size, self.places) {
            Read::Constant(value) => self.record.constant(value),
            Read::From(location) => self.load(location),
        }
    }

    /// The single value at a place.
    pub fn read_place(&mut self, place: &Place) -> Id {
        self.read(None, &Operand::Scalar(place.clone()))
    }

    /// Carries out an instruction; its value is written where `is_kept`.
    pub fn carry_out(&mut self, instruction: &Instruction, is_kept: impl Fn(&Operand) -> bool) {
        let kernel = Some(&instruction.kernel);
        let inputs = instruction.inputs.iter();
        let arguments: Vec<Id> = inputs.map(|input| self.read(kernel, input)).collect();
        let value = match &instruction.kernel {
            Kernel::Map(function, _) => self.apply(*function, &arguments),
            Kernel::Gather(..) => arguments[0],
            _ => {
                let sum = self.code.sums.len();
                self.code.items.push(match arguments[..] {
                    [x] => Item::Sum(sum, [x]),
                    [x, y] => Item::Dot(sum, [x, y]),
                    _ => unreachable!("a sum has one input, a dot product two"),
                });
                let places = written(&instruction.output, 1, self.places);
                self.code.sums.push(places);
                return;
            }
        };
        for location in written(&instruction.output, self.size, self.places) {
            match is_kept(&instruction.output) {
                true => self.store(value, location),
                false => drop(self.present.insert(key(&location), value)),
            }
        }
    }

    /// Inputs whose value in the next step is known in this one: of those at a cursor that moves by so many elements.
    pub fn carried(&self, strides: &[isize]) -> Vec<(Id, Id)> {
        let next = |(number, location): (usize, &Location)| {
            let Base::Cursor(cursor) = location.base else {
                return None;
            };
            let at = location.at.checked_add_signed(strides[cursor])?;
            let value = self.present(&Location { at, ..*location })?;
            let is_input = |line: &Line| line.verb == Verb::Input(number);
            let input = self.record.lines.iter().position(is_input)?;
            (value != input).then_some((input, value))
        };
        self.code
            .inputs
            .iter()
            .enumerate()
            .filter_map(next)
            .collect()
    }

    /// A value becomes that of an input in the next step.
    pub fn carry(&mut self, input: Id, value: Id) {
        self.code.items.push(Item::Carry([value], input));
    }

    /// All that has been written.
    pub fn finish(mut self) -> Code {
        self.code.lines = self.record.lines;
        self.code.drop_overwritten();
        self.code.drop_unread();
        self.code
    }
}

impl Code {
    /// What the instructions of `range` do in a pass over arrays of `size` elements; `scales` as for [`Record::new`].
    pub fn of(
        instructions: &[Instruction],
        range: Range<usize>,
        size: usize,
        scales: bool,
        places: &Places,
    ) -> Code {
        let mut coder = Coder::new(size, scales, places);
        let behind = &instructions[range.end..];
        let is_kept = |output: &Operand| match output {
            Operand::Register(block) => is_read(*block, behind),
            _ => true,
        };
        for instruction in &instructions[range] {
            coder.carry_out(instruction, is_kept);
        }
        coder.finish()
    }

    /// Of values that one place held in turn, only the last is there for others to read.
    fn drop_overwritten(&mut self) {
        let mut seen = HashSet::new();
        self.items.reverse();
        self.items.retain(|item| match item {
            Item::Store(_, location) => seen.insert(*location),
            _ => true,
        });
        self.items.reverse();
    }

    fn drop_unread(&mut self) {
        let mut is_read = vec![false; self.lines.len()];
        self.items.reverse();
        let lines = &self.lines;
        self.items.retain(|item| {
            let needed = match item {
                Item::Make(id) => is_read[*id],
                _ => true,
            };
            if needed {
                item.reads(lines).iter().for_each(|&id| is_read[id] = true);
            }
            needed
        });
        self.items.reverse();
    }

    /// Whether arrays end where chunks may not: in the position vector and among the results.
    pub fn touches_vectors(&self) -> bool {
        let is_bare = |location: &Location| {
            location.extent == Extent::Stream
                && matches!(location.base, Base::Position | Base::Results)
        };
        let stores = self.items.iter().filter_map(|item| match item {
            Item::Store(_, location) => Some(location),
            _ => None,
        });
        self.inputs.iter().chain(stores).any(is_bare)
    }

    /// Whether all addresses can hold their displacements.
    pub fn is_near(&self) -> bool {
        const FAR: usize = 1 << 27;
        let stores = self.items.iter().filter_map(|item| match item {
            Item::Store(_, location) => Some(location),
            _ => None,
        });
        self.inputs.iter().chain(stores).all(|l| l.at < FAR)
    }
}

enum Read {
    Constant(f64),
    From(Location),
}

/// Where an instruction reads an input; of a gather, the element that it wants.
fn read(kernel: Option<&Kernel>, input: &Operand, size: usize, places: &Places) -> Read {
    let (place, element, extent) = match (kernel, input) {
        (Some(Kernel::Gather(table, _)), Operand::Array(place) | Operand::Scalar(place)) => {
            (place, table[0] as usize, Extent::One)
        }
        (_, Operand::Array(place)) if size > 1 => (place, 0, Extent::Stream),
        (_, Operand::Array(place) | Operand::Scalar(place)) => (place, 0, Extent::All),
        (_, Operand::Register(block)) => {
            return Read::From(block_location(*block, size, Extent::One));
        }
    };
    if let (Place::Constant(tensor, start), true) = (place, extent != Extent::Stream) {
        return Read::Constant(tensor.values()[start + element]);
    }
    let (base, at) = places.base(place, element);
    let extent = match (extent, base) {
        (Extent::All, Base::Position) => Extent::One,
        (Extent::All, _) if size == 1 => Extent::One,
        _ => extent,
    };
    Read::From(Location { base, at, extent })
}

/// A block in cache; of a pass over single values, its chunk with all lanes or the first.
fn block_location(block: usize, size: usize, extent: Extent) -> Location {
    Location {
        base: Base::Block,
        at: block * BLOCK,
        extent: if size > 1 { Extent::Stream } else { extent },
    }
}

/// Where an instruction writes.
fn written(output: &Operand, size: usize, places: &Places) -> Vec<Location> {
    let place = match output {
        Operand::Register(block) => return vec![block_location(*block, size, Extent::All)],
        Operand::Array(place) | Operand::Scalar(place) => place,
    };
    let Place::Arena(at) = *place else {
        unreachable!("constants are not written")
    };
    let [extent, results] = match size {
        1 if places.spread.contains(&at) => [Extent::All, Extent::One],
        1 => [Extent::One, Extent::One],
        _ => [Extent::Stream, Extent::Stream],
    };
    let base = Base::Arena;
    let mut locations = vec![Location { base, at, extent }];
    let copies = places.results.get(&at).into_iter().flatten();
    locations.extend(copies.map(|&at| Location {
        base: Base::Results,
        at,
        extent: results,
    }));
    locations
}

/// Whether one of the instructions reads a block before it is written again.
fn is_read(block: usize, instructions: &[Instruction]) -> bool {
    let is_block =
        |operand: &Operand| matches!(operand, Operand::Register(other) if *other == block);
    for instruction in instructions {
        if instruction.inputs.iter().any(is_block) {
            return true;
        }
        if is_block(&instruction.output) {
            return false;
        }
    }
    false
}

impl Line {
    fn is_leaf(&self) -> bool {
        matches!(self.verb, Verb::Input(_) | Verb::Constant(_))
    }
}
