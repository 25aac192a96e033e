using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>
/// output = cap((input · matrixᵀ + bias) · scale): one item is a block of rows times four strips of the matrix. The product is
/// cut along the input so that a piece of the strips stays in the cache while all rows of the block pass over it.
/// </summary>
internal abstract unsafe class LinearJob : Job
{
    /// <summary>Strips of an item.</summary>
    public const int StripsPerItem = 4;

    /// <summary>Bytes of a strip that are passed at a time: four strips fill two thirds of a first-level cache.</summary>
    public const int StripBytesPerPass = 8192;

    /// <summary>
    /// Rows of <see cref="InputType"/>, dense or, if <see cref="PacksTiles"/>, packed; for quantised matrices bytes as <see cref="Quads"/> wants
    /// them, rows as long as the padded input and the tile's padding.
    /// </summary>
    public byte* Input;
    public ElementType InputType;

    /// <summary>For quantised matrices: FP32 <c>[numRows]</c>, the scale of each row of the input.</summary>
    public float* InputScales;

    /// <summary>For quantised matrices: the kernel.</summary>
    public QuadKernel? Quads;
    public int NumRows;
    public int NumBlocks;
    public CpuMatrix Matrix = null!;
    public byte* Weights;
    public float* Bias;
    public float Scale = 1;
    public float? SoftCap;
    public byte* Output;
    public ElementType OutputType;
    public float* Scratch;

    /// <summary>Rows of a block: a multiple of the register tile's.</summary>
    public virtual int RowsPerBlock => 96;

    /// <summary>FP32 elements of scratch that each worker needs.</summary>
    public int ScratchPerWorker => RowsPerBlock * StripsPerItem * TileShape.StripWidth;

    /// <summary>The form in which rows of a type must come to be multiplied with a matrix: that type itself, or FP32.</summary>
    public virtual ElementType InputTypeFor(ElementType type, CpuMatrix matrix) => ElementType.Float32;

    /// <summary>Whether rows of a type must come packed by <see cref="PackTilesJob"/> to be multiplied with a matrix.</summary>
    public virtual bool PacksTiles(ElementType inputType, CpuMatrix matrix) => false;

    /// <summary>The strips of the next item, which mostly runs on the same thread; null behind the last.</summary>
    protected byte* NextStrips(int firstStrip, nint stripBytes) =>
        firstStrip + StripsPerItem < Matrix.NumStrips ? Weights + (firstStrip + StripsPerItem) * stripBytes : null;

    /// <summary>Items for a number of rows.</summary>
    public int CountItems() => NumBlocks * ((Matrix.NumStrips + StripsPerItem - 1) / StripsPerItem);
}

/// <inheritdoc/>
internal unsafe class LinearJob<S, V> : LinearJob
    where S : struct, ISimd<V>
    where V : struct
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public sealed override void Execute(int item, int worker)
    {
        // All strips pass by the rows of a block before the next rows, which would push them out of the second-level cache.
        int itemsPerBlock = CountItems() / NumBlocks;
        int firstStrip = item % itemsPerBlock * StripsPerItem;
        int firstRow = item / itemsPerBlock * RowsPerBlock;
        int numStrips = Math.Min(StripsPerItem, Matrix.NumStrips - firstStrip);
        int numRows = Math.Min(RowsPerBlock, NumRows - firstRow);
        float* sums = Scratch + (nint)worker * ScratchPerWorker;
        Multiply(firstRow, numRows, firstStrip, numStrips, sums);
        int sumStride = numStrips * TileShape.StripWidth, firstColumn = firstStrip * TileShape.StripWidth;
        int numColumns = Math.Min(sumStride, Matrix.OutputSize - firstColumn);
        for (int row = 0; row < numRows; row++)
        {
            nint destination = (nint)(firstRow + row) * Matrix.OutputSize + firstColumn;
            switch (OutputType)
            {
                case ElementType.Float32: Finish<Float32Storage>(sums + row * sumStride, firstColumn, numColumns, destination); break;
                case ElementType.BFloat16: Finish<BFloat16Storage>(sums + row * sumStride, firstColumn, numColumns, destination); break;
                default: Finish<Float16Storage>(sums + row * sumStride, firstColumn, numColumns, destination); break;
            }
        }
    }

    /// <summary>Multiplies a block of rows with some strips: FP32 sums of <c>[numRows, 16 · numStrips]</c>.</summary>
    protected virtual void Multiply(int firstRow, int numRows, int firstStrip, int numStrips, float* sums)
    {
        if (Matrix.IsQuantized)
        {
            MultiplyQuads(firstRow, numRows, firstStrip, numStrips, sums);
            return;
        }
        switch (Matrix.ElementType)
        {
            case ElementType.Float32: Multiply<Float32Storage>(firstRow, numRows, firstStrip, numStrips, sums); break;
            case ElementType.BFloat16: Multiply<BFloat16Storage>(firstRow, numRows, firstStrip, numStrips, sums); break;
            default: Multiply<Float16Storage>(firstRow, numRows, firstStrip, numStrips, sums); break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Multiply<T>(int firstRow, int numRows, int firstStrip, int numStrips, float* sums)
        where T : struct, IStorage
    {
        nint depth = Matrix.InputSize, stripStride = Matrix.StripSize, sumStride = numStrips * TileShape.StripWidth;
        byte* strips = Weights + firstStrip * stripStride * T.Size;
        float* input = (float*)Input + firstRow * depth;
        int depthPerPass = StripBytesPerPass / (TileShape.StripWidth * T.Size);
        for (nint k = 0; k < depth; k += depthPerPass)
        {
            nint pass = Math.Min(depthPerPass, depth - k);
            // The first rows fetch what the next pass reads; with few rows that is most of the time they take.
            nint ahead = k + pass < depth ? StripBytesPerPass : 0;
            for (int row = 0; row < numRows; row += TileShape.MaxRows)
            {
                Tile<S, V, T>.Multiply(Math.Min(TileShape.MaxRows, numRows - row), numStrips, input + row * depth + k, depth,
                    strips + k * TileShape.StripWidth * T.Size, TileShape.StripWidth, stripStride,
                    sums + row * sumStride, sumStride, pass, k > 0 ? TileMode.Add : TileMode.Replace, row == 0 ? ahead : 0);
            }
        }
    }

    private void MultiplyQuads(int firstRow, int numRows, int firstStrip, int numStrips, float* sums)
    {
        nint rowBytes = Matrix.PaddedInputSize + Quads!.Tile!.RowPaddingBytes, stripBytes = Matrix.StripSize;
        Quads.Tile.MultiplyBlock(
            Input + firstRow * rowBytes, rowBytes, numRows, Weights + firstStrip * stripBytes, stripBytes, numStrips, NextStrips(firstStrip, stripBytes),
            Matrix.PaddedInputSize, QuadKernel.QuadSize, QuadKernel.QuadSize, sums);
        int width = numStrips * TileShape.StripWidth, firstColumn = firstStrip * TileShape.StripWidth;
        for (int row = 0; row < numRows; row++) ScaleSums(sums + row * width, InputScales[firstRow + row], firstColumn, width);
    }

    /// <summary>INT32 sums become FP32 numbers: sum · (scale of the row · scale of the column).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void ScaleSums(float* sums, float rowScale, int firstColumn, int numColumns)
    {
        const int offsetBits = 7;
        float* scales = Matrix.Scales + firstColumn;
        float* weightSums = (float*)(Matrix.Sums + firstColumn);
        V scale = S.Broadcast(rowScale);
        bool isUnsigned = Quads!.IsUnsigned;
        for (int i = 0; i < numColumns; i += S.Lanes)
        {
            V sum = S.Load(sums + i);
            if (isUnsigned) sum = S.SubtractBits(sum, S.ShiftLeft(S.Load(weightSums + i), offsetBits));
            S.Store(sums + i, S.Multiply(S.ConvertToSingle(sum), S.Multiply(scale, S.Load(scales + i))));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Finish<TOutput>(float* sums, int firstColumn, int numColumns, nint destination)
        where TOutput : struct, IStorage
    {
        float* bias = Bias == null ? null : Bias + firstColumn;
        bool isPlain = Scale == 1 && SoftCap is null;
        V scale = S.Broadcast(Scale), cap = S.Broadcast(SoftCap ?? 1);
        for (int i = 0; i < numColumns; i += S.Lanes)
        {
            int count = Math.Min(S.Lanes, numColumns - i);
            V value = S.Load(sums + i);
            if (bias != null) value = S.Add(value, Partial<S, V>.Load<Float32Storage>((byte*)bias, i, count));
            if (!isPlain)
            {
                value = S.Multiply(value, scale);
                if (SoftCap is not null) value = SimdMath<S, V>.SoftCap(value, cap);
            }
            Partial<S, V>.Store<TOutput>(Output, destination + i, value, count);
        }
    }
}
