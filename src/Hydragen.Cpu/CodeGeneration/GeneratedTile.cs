using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Hydragen.Cpu;

/// <summary>A register tile of generated kernels, one for each of 1 to 6 rows, or fewer, × 1, 2 or 4 strips. Immutable; calls may run on any thread.</summary>
internal sealed unsafe class GeneratedTile : RegisterTile, IDisposable
{
    private static readonly int[] StripCounts = [1, 2, 4];

    private readonly ExecutableMemory _code;
    private readonly nint[] _kernels = new nint[(TileShape.MaxRows + 1) * (StripCounts[^1] + 1)];

    /// <summary>Generates the kernels.</summary>
    /// <param name="emit">Emits the kernel of some rows × strips; its argument is a pointer to <see cref="TileArguments"/>.</param>
    /// <param name="maxRows">The most rows of a kernel, at most 6.</param>
    /// <exception cref="PlatformNotSupportedException">The system does not hand out executable memory.</exception>
    public GeneratedTile(Action<Assembler, int, int> emit, int maxRows = TileShape.MaxRows)
    {
        MaxRows = maxRows;
        var builder = new CodeBuilder();
        foreach ((int rows, int strips) in SizesUpTo(maxRows)) _kernels[Index(rows, strips)] = builder.Add(code => emit(code, rows, strips));
        _code = builder.Build();
        foreach ((int rows, int strips) in SizesUpTo(maxRows)) _kernels[Index(rows, strips)] += _code.Address;
    }

    /// <inheritdoc/>
    public override int MaxRows { get; }

    /// <summary>Rows and strips of every kernel.</summary>
    public static IEnumerable<(int Rows, int Strips)> Sizes => SizesUpTo(TileShape.MaxRows);

    /// <summary>The same for kernels of fewer rows.</summary>
    public static IEnumerable<(int Rows, int Strips)> SizesUpTo(int maxRows) =>
        from rows in Enumerable.Range(1, maxRows) from strips in StripCounts select (rows, strips);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void Multiply(int numRows, int numStrips, ref TileArguments arguments)
    {
        fixed (TileArguments* pointer = &arguments)
        {
            while (numStrips > 0)
            {
                int count = numStrips >= 4 ? 4 : numStrips >= 2 ? 2 : 1;
                ((delegate* unmanaged<TileArguments*, void>)_kernels[Index(numRows, count)])(pointer);
                pointer->B += count * pointer->StripStrideBytes;
                pointer->C += count * TileShape.StripWidth;
                numStrips -= count;
            }
        }
    }

    /// <summary>Frees the code; none of it may be running.</summary>
    public void Dispose() => _code.Dispose();

    private static int Index(int numRows, int numStrips) => numRows * (StripCounts[^1] + 1) + numStrips;
}
