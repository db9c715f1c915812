//! Tables as Parquet files (format 2, Snappy): columns of numbers that may be missing, and the columns that name the run.

use std::{fs::File, path::Path, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    column::reader::get_typed_column_reader,
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use super::Meta;

/// Rows of a row group: what is held as columns in memory at once.
const GROUP_ROWS: usize = 1 << 18;

/// Why a table cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be opened or made.
    #[error(transparent)]
    File(#[from] std::io::Error),
    /// It is no Parquet file, or cannot be written.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    /// It lacks a column.
    #[error("no column `{0}`: was it written by another version of treehouse-sim?")]
    NoColumn(String),
}

/// How a column's value comes from a row.
pub(super) enum Get<R> {
    Integer(fn(&R) -> Option<i64>),
    Real(fn(&R) -> Option<f64>),
}

pub(super) struct Column<R> {
    pub(super) name: &'static str,
    pub(super) get: Get<R>,
}

pub(super) fn integer<R>(name: &'static str, get: fn(&R) -> Option<i64>) -> Column<R> {
    Column { name, get: Get::Integer(get) }
}

pub(super) fn real<R>(name: &'static str, get: fn(&R) -> Option<f64>) -> Column<R> {
    Column { name, get: Get::Real(get) }
}

/// The columns that each table begins with, the same in all its rows.
enum RunColumn {
    Text(&'static str, Option<String>),
    Integer(&'static str, i64),
    Real(&'static str, f64),
}

fn run_columns(meta: &Meta) -> [RunColumn; 7] {
    let mode = match meta.mode {
        super::Mode::Packet => "packet",
        super::Mode::Flow => "flow",
    };
    [
        RunColumn::Text("scenario", Some(meta.scenario.clone())),
        RunColumn::Text("strategy", Some(meta.strategy.clone())),
        RunColumn::Text("protection", meta.protection.clone()),
        RunColumn::Text("mode", Some(mode.to_owned())),
        RunColumn::Integer("members", meta.members as i64),
        RunColumn::Integer("seed", meta.seed as i64),
        RunColumn::Real("loss_share", meta.loss_share),
    ]
}

fn field(name: &str, physical: Physical) -> Result<TypePtr, ParquetError> {
    let text = (physical == Physical::BYTE_ARRAY).then_some(LogicalType::String);
    let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    builder.with_logical_type(text).build().map(Arc::new)
}

/// Writes rows, and says how many.
pub(super) fn write<R>(path: &Path, meta: &Meta, columns: &[Column<R>], rows: &[R]) -> Result<u64, TableError> {
    let run = run_columns(meta);
    let of_run = run.iter().map(|column| match column {
        RunColumn::Text(name, _) => field(name, Physical::BYTE_ARRAY),
        RunColumn::Integer(name, _) => field(name, Physical::INT64),
        RunColumn::Real(name, _) => field(name, Physical::DOUBLE),
    });
    let of_rows = columns.iter().map(|column| match column.get {
        Get::Integer(_) => field(column.name, Physical::INT64),
        Get::Real(_) => field(column.name, Physical::DOUBLE),
    });
    let fields = of_run.chain(of_rows).collect::<Result<_, _>>()?;
    let schema = Arc::new(Type::group_type_builder("observations").with_fields(fields).build()?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(File::create(path)?, schema, Arc::new(properties))?;
    for rows in rows.chunks(GROUP_ROWS) {
        let mut group = writer.next_row_group()?;
        for column in &run {
            write_run_column(&mut group, column, rows.len())?;
        }
        for column in columns {
            match column.get {
                Get::Integer(get) => put::<Int64Type>(&mut group, rows.iter().map(get))?,
                Get::Real(get) => put::<DoubleType>(&mut group, rows.iter().map(get))?,
            }
        }
        group.close()?;
    }
    writer.close()?;
    Ok(rows.len() as u64)
}

fn write_run_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    column: &RunColumn,
    rows: usize,
) -> Result<(), TableError> {
    match column {
        RunColumn::Text(_, text) => {
            let text = text.as_ref().map(|text| ByteArray::from(text.as_str()));
            put::<ByteArrayType>(group, std::iter::repeat_n(text, rows))
        }
        RunColumn::Integer(_, number) => put::<Int64Type>(group, std::iter::repeat_n(Some(*number), rows)),
        RunColumn::Real(_, number) => put::<DoubleType>(group, std::iter::repeat_n(Some(*number), rows)),
    }
}

fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    of: impl Iterator<Item = Option<T::T>>,
) -> Result<(), TableError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for value in of {
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    if let Some(mut column) = group.next_column()? {
        column.typed::<T>().write_batch(&values, Some(&levels), None)?;
        column.close()?;
    }
    Ok(())
}

/// Reads columns of numbers; a missing value is not a number. Integers come as the reals that are nearest.
pub(super) fn read<const N: usize>(path: &Path, names: [&str; N]) -> Result<[Vec<f64>; N], TableError> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut read = std::array::from_fn(|_| Vec::new());
    for (name, values) in names.iter().zip(&mut read) {
        let index = schema.columns().iter().position(|column| column.name() == *name);
        let index = index.ok_or_else(|| TableError::NoColumn((*name).to_owned()))?;
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group)?;
            let rows = group.metadata().num_rows().max(0) as usize;
            let column = group.get_column_reader(index)?;
            match schema.column(index).physical_type() {
                Physical::DOUBLE => take::<DoubleType>(column, rows, values, |value| *value)?,
                Physical::INT64 => take::<Int64Type>(column, rows, values, |value| *value as f64)?,
                _ => return Err(TableError::NoColumn((*name).to_owned())),
            }
        }
    }
    Ok(read)
}

fn take<T: DataType>(
    column: parquet::column::reader::ColumnReader,
    rows: usize,
    into: &mut Vec<f64>,
    real: fn(&T::T) -> f64,
) -> Result<(), TableError> {
    let mut column = get_typed_column_reader::<T>(column);
    let mut left = rows;
    while left > 0 {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let (records, _, _) = column.read_records(left, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        let mut values = values.iter().map(real);
        into.extend(levels.iter().map(|level| if *level > 0 { values.next() } else { None }.unwrap_or(f64::NAN)));
        left -= records;
    }
    Ok(())
}
