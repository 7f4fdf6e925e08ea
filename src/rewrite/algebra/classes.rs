//! Rows that read the same positions of every table, put together.

use crate::tensor::Table;
use std::collections::HashMap;
use std::sync::Arc;

/// A partition of the rows.
pub struct Classes {
    /// Rows, class after class; in order within a class.
    order: Vec<u32>,
    /// Where each class begins, and the end.
    starts: Vec<usize>,
}

impl Classes {
    /// The classes of n rows; they are ordered as the tables' positions are.
    pub fn new(tables: &[Arc<Table>], n: usize) -> Classes {
        let mut class = vec![0u32; n];
        let mut count = 1;
        for table in tables {
            let width = table.iter().max().map_or(0, |&most| most as usize + 1);
            let key = |row: usize| class[row] as usize * width + table[row] as usize;
            let numbers: Box<dyn Fn(usize) -> u32> = if count * width <= 4 * n + 1024 {
                let mut numbers = vec![u32::MAX; count * width];
                (0..n).for_each(|row| numbers[key(row)] = 0);
                let used = numbers.iter_mut().filter(|number| **number == 0);
                count = used.zip(0..).map(|(number, next)| *number = next).count();
                Box::new(move |key| numbers[key])
            } else {
                let mut keys: Vec<usize> = (0..n).map(key).collect();
                keys.sort_unstable();
                keys.dedup();
                count = keys.len();
                let numbers: HashMap<usize, u32> = keys.into_iter().zip(0..).collect();
                Box::new(move |key| numbers[&key])
            };
            class = (0..n).map(|row| numbers(key(row))).collect();
        }
        let mut starts = vec![0; count + 1];
        class.iter().for_each(|&c| starts[c as usize + 1] += 1);
        (0..count).for_each(|c| starts[c + 1] += starts[c]);
        let (mut order, mut next) = (vec![0; n], starts.clone());
        for (row, &c) in class.iter().enumerate() {
            order[next[c as usize]] = row as u32;
            next[c as usize] += 1;
        }
        Classes { order, starts }
    }

    /// Number of classes.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The rows of each class.
    pub fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.starts
            .windows(2)
            .map(|ends| &self.order[ends[0]..ends[1]])
    }

    /// One row of each class.
    pub fn first_rows(&self) -> Vec<u32> {
        self.rows().map(|rows| rows[0]).collect()
    }
}
