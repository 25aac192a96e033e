using Hydragen.Core;
using Hydragen.Testing;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu.Tests;

/// <summary>The kernels of the product with INT8 weights, against sums in integers.</summary>
public sealed unsafe class QuadTileTests
{
    /// <summary>Every kernel that this machine can run.</summary>
    public static TheoryData<string> Names => [.. QuadKernel.All.Where(kernel => kernel.Tile is not null).Select(kernel => kernel.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_tile_is_exact_and_stays_inside_its_memory(string name)
    {
        QuadKernel kernel = Kernel(name);
        foreach (bool flushToEnd in (bool[])[false, true])
        {
            for (int rows = 1; rows <= kernel.Tile!.MaxRows; rows++)
            {
                for (int strips = 1; strips <= 7; strips++)
                {
                    foreach (int depth in (int[])[4, 8, 12, 64, 68])
                    {
                        using var problem = new Problem(kernel, rows, strips, depth, flushToEnd);
                        foreach (bool adds in (bool[])[false, true]) problem.Verify(adds);
                    }
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Blocks_of_any_number_of_rows_and_passes_are_exact(string name)
    {
        QuadKernel kernel = Kernel(name);
        foreach ((int rows, int strips, int depth) in ((int, int, int)[])[(1, 4, 512), (13, 3, 576), (96, 4, 1088), (7, 1, 1536), (30, 2, 64)])
        {
            using var problem = new Problem(kernel, rows, strips, depth, flushToEnd: true);
            problem.VerifyBlock();
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_longest_allowed_input_does_not_overflow(string name)
    {
        QuadKernel kernel = Kernel(name);
        int depth = QuadKernel.MaxInputSize / QuadKernel.QuadSize * QuadKernel.QuadSize;
        foreach (int sign in (int[])[-1, 1])
        {
            using var problem = new Problem(kernel, kernel.Tile!.MaxRows, 1, depth, flushToEnd: true);
            problem.Fill(_ => RowQuantizer.MaxLevel, _ => sign * RowQuantizer.MaxLevel);
            Assert.All(problem.RunBlock(), sum => Assert.Equal(sign * depth * RowQuantizer.MaxLevel * RowQuantizer.MaxLevel, sum));
        }
    }

    [Fact]
    public void A_wrong_kernel_is_found_by_the_self_test()
    {
        GeneratedTile();
        (string Text, Action<Assembler, int, int> Emit)[] mutants =
        [
            ("int8 tile of 2 × 4", (code, rows, strips) =>
            {
                // Adds to what c holds although it was told not to.
                if (rows == 2 && strips == 4) code.mov(__qword_ptr[rdi + 56], 1);
                QuadTileEmitter.Emit(code, rows, strips);
            }),
            ("int8 tile of 1 × 1", (code, rows, strips) =>
            {
                // Forgets the last quad.
                code.sub(__qword_ptr[rdi + 48], 4);
                QuadTileEmitter.Emit(code, rows, strips);
            }),
            ("int8 tile of 1 × 1", (code, rows, strips) => RegisterTileEmitter.Emit(code, rows, strips, new RegisterTileEmitter.Arithmetic(
                4, 4,
                (group, numRows, numStrips) =>
                {
                    RegisterTileEmitter.LoadColumns(group, numStrips);
                    // Takes the weights for the unsigned factor.
                    RegisterTileEmitter.MultiplyRows(group, numRows, numStrips, 0, (sums, factor, column) => group.vpdpbusd(sums, column, factor));
                },
                (add, sums, addends) => add.vpaddd(sums, sums, addends)))),
        ];
        foreach ((string text, Action<Assembler, int, int> emit) in mutants)
        {
            Assert.Null(GeneratedQuadTile.TryCreate(emit, out string? whyNot));
            Assert.Contains(text, whyNot, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_self_test_finds_sums_of_16_bits_that_saturate()
    {
        Assert.Null(QuadTileSelfTest.Run(new ScalarTile(false), isUnsigned: true, 3, 2));
        Assert.NotNull(QuadTileSelfTest.Run(new ScalarTile(true), isUnsigned: true, 3, 2));
    }

    [Fact]
    public void The_widest_kernel_that_fits_is_chosen_and_the_one_above_it_explained()
    {
        IReadOnlyList<QuadKernel> table = QuadKernel.CreateTable(new ScalarTile(false), null);
        Assert.Equal("avx512vnni", QuadKernel.Select(table, 16, out string reason).Name);
        Assert.DoesNotContain("is off", reason, StringComparison.Ordinal);
        Assert.InRange(QuadKernel.Select(table, 8, out _).Lanes, 4, 8);
        Assert.Equal("vector128", QuadKernel.Select(table, 4, out reason).Name);
        Assert.DoesNotContain("is off", reason, StringComparison.Ordinal);

        table = QuadKernel.CreateTable(null, "the self-test gave 1 instead of 2");
        QuadKernel chosen = QuadKernel.Select(table, 16, out reason);
        Assert.NotEqual("avx512vnni", chosen.Name);
        if (chosen.Name == "avxvnni") Assert.EndsWith("; avx512vnni is off: the self-test gave 1 instead of 2", reason, StringComparison.Ordinal);
    }

    private static QuadKernel Kernel(string name)
    {
        if (!GuardedMemory.IsSupported) Assert.Skip("Guard pages are set up through mmap, which only Linux has in this form.");
        return QuadKernel.All.First(kernel => kernel.Name == name);
    }

    private static GeneratedTile GeneratedTile()
    {
        if (GeneratedQuadTile.Shared is null) Assert.Skip(GeneratedQuadTile.WhyNotShared!);
        return GeneratedQuadTile.Shared;
    }

    /// <summary>Plain sums, or sums that add pairs of products in 16 bits, as one instruction of AVX2 does.</summary>
    private sealed class ScalarTile(bool saturates) : RegisterTile
    {
        public override void Multiply(int numRows, int numStrips, ref TileArguments arguments)
        {
            for (int row = 0; row < numRows; row++)
            {
                int* c = (int*)((byte*)arguments.C + row * arguments.CStrideBytes);
                for (int column = 0; column < numStrips * TileShape.StripWidth; column++)
                {
                    int sum = arguments.Adds != 0 ? c[column] : 0;
                    for (int k = 0; k < arguments.Depth; k += 2)
                    {
                        sbyte* b = (sbyte*)arguments.B + column / TileShape.StripWidth * arguments.StripStrideBytes
                            + (k / 4 * TileShape.StripWidth + column % TileShape.StripWidth) * 4 + k % 4;
                        byte* a = arguments.A + row * arguments.AStrideBytes + k;
                        int pair = a[0] * b[0] + a[1] * b[1];
                        sum += saturates ? Math.Clamp(pair, short.MinValue, short.MaxValue) : pair;
                    }
                    c[column] = sum;
                }
            }
        }
    }

    /// <summary>A random product whose operands and result lie against guard pages.</summary>
    private sealed class Problem : IDisposable
    {
        private readonly QuadKernel _kernel;
        private readonly int _rows, _strips, _depth;
        private readonly GuardedMemory _a, _b, _c;

        public Problem(QuadKernel kernel, int rows, int strips, int depth, bool flushToEnd)
        {
            (_kernel, _rows, _strips, _depth) = (kernel, rows, strips, depth);
            _a = new GuardedMemory((nuint)(rows * depth), flushToEnd);
            _b = new GuardedMemory((nuint)(Width * depth), flushToEnd);
            _c = new GuardedMemory((nuint)(rows * Width * sizeof(int)), flushToEnd);
            var random = new Random(rows + 10 * strips + 100 * depth);
            int Level(int index) => index / 5 % 4 == 0 ? RowQuantizer.MaxLevel * (1 - index / 20 % 2 * 2) : random.Next(-RowQuantizer.MaxLevel, RowQuantizer.MaxLevel + 1);
            Fill(Level, Level);
        }

        private int Width => _strips * TileShape.StripWidth;

        private int Offset => _kernel.IsUnsigned ? RowQuantizer.UnsignedOffset : 0;

        public void Fill(Func<int, int> rows, Func<int, int> weights)
        {
            for (int i = 0; i < _rows * _depth; i++) _a.Pointer[i] = (byte)(rows(i) + Offset);
            for (int i = 0; i < Width * _depth; i++) ((sbyte*)_b.Pointer)[i] = (sbyte)weights(i);
        }

        public void Verify(bool adds)
        {
            var c = new Span<int>(_c.Pointer, _rows * Width);
            c.Fill(adds ? -7 : int.MinValue);
            var arguments = new TileArguments
            {
                A = _a.Pointer,
                AStrideBytes = _depth,
                B = _b.Pointer,
                StripStrideBytes = _depth * TileShape.StripWidth,
                C = (float*)_c.Pointer,
                CStrideBytes = Width * sizeof(int),
                Depth = _depth,
                Adds = adds ? 1 : 0,
            };
            _kernel.Tile!.Multiply(_rows, _strips, ref arguments);
            for (int i = 0; i < c.Length; i++) Assert.Equal(Product(i / Width, i % Width) + (adds ? -7 : 0), c[i]);
        }

        public void VerifyBlock()
        {
            int[] sums = RunBlock();
            for (int i = 0; i < sums.Length; i++) Assert.Equal(Product(i / Width, i % Width) - Offset * WeightSum(i % Width), sums[i]);
        }

        /// <summary>All rows by <see cref="RegisterTile.MultiplyBlock"/>, with what unsigned rows add too much taken off.</summary>
        public int[] RunBlock()
        {
            _kernel.Tile!.MultiplyBlock(
                _a.Pointer, _depth, _rows, _b.Pointer, _depth * TileShape.StripWidth, _strips, null, _depth, QuadKernel.QuadSize, QuadKernel.QuadSize, (float*)_c.Pointer);
            var sums = new int[_rows * Width];
            for (int i = 0; i < sums.Length; i++) sums[i] = unchecked(((int*)_c.Pointer)[i] - Offset * WeightSum(i % Width));
            return sums;
        }

        public void Dispose()
        {
            _a.Dispose();
            _b.Dispose();
            _c.Dispose();
        }

        private int Product(int row, int column)
        {
            int sum = 0;
            for (int k = 0; k < _depth; k++)
            {
                byte factor = _a.Pointer[row * _depth + k];
                sum += (_kernel.IsUnsigned ? factor : (sbyte)factor) * Weight(k, column);
            }
            return sum;
        }

        private int WeightSum(int column)
        {
            int sum = 0;
            for (int k = 0; k < _depth; k++) sum += Weight(k, column);
            return sum;
        }

        private int Weight(int k, int column) => ((sbyte*)_b.Pointer)[
            ((column / TileShape.StripWidth * (_depth / 4) + k / 4) * TileShape.StripWidth + column % TileShape.StripWidth) * 4 + k % 4];
    }
}
