using System.Globalization;
using System.Runtime.Intrinsics;
using Hydragen.Core;
using Hydragen.Testing;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hydragen.Cpu.Tests;

public sealed unsafe class PairTileTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Every_tile_agrees_with_FP64_and_stays_inside_its_memory(bool flushToEnd)
    {
        PairTile tile = Tile();
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
        {
            for (int rows = 1; rows <= TileShape.MaxRows; rows++)
            {
                for (int strips = 1; strips <= 7; strips++)
                {
                    foreach (int depth in (int[])[1, 2, 3, 4, 5, 8, 31, 64, 67])
                    {
                        using var problem = new Problem(type, rows, strips, depth, flushToEnd);
                        foreach (bool adds in (bool[])[false, true]) problem.Verify(tile, adds);
                    }
                }
            }
        }
    }

    [Fact]
    public void FP32_rows_give_the_bits_of_the_AVX512_tile()
    {
        PairTile tile = Tile();
        foreach ((int rows, int strips, int depth) in ((int, int, int)[])[(6, 4, 128), (5, 3, 33), (1, 1, 7), (4, 5, 256)])
        {
            using var problem = new Problem(ElementType.Float32, rows, strips, depth, flushToEnd: true);
            float[] actual = problem.Run(tile, adds: false);
            var plain = new ushort[strips * depth * TileShape.StripWidth];
            for (int i = 0; i < plain.Length; i++)
                plain[i] = BFloat16Bits.FromSingle(problem.B(i / TileShape.StripWidth % depth, i / (depth * TileShape.StripWidth) * TileShape.StripWidth + i % TileShape.StripWidth));
            var expected = new float[actual.Length];
            fixed (float* a = problem.A, c = expected)
            fixed (ushort* b = plain)
            {
                Tile<Simd512, Vector512<float>, BFloat16Storage>.Multiply(
                    rows, strips, a, depth, (byte*)b, TileShape.StripWidth, depth * TileShape.StripWidth, c, strips * TileShape.StripWidth, depth, TileMode.Replace, 0);
            }
            Assert.Equal(expected, actual);
        }
    }

    [Fact]
    public void A_row_has_the_same_bits_in_every_tile()
    {
        PairTile tile = Tile();
        foreach (int depth in (int[])[1, 6, 129])
        {
            using var problem = new Problem(ElementType.BFloat16, 6, 7, depth, flushToEnd: true);
            float[] all = problem.Run(tile, adds: false);
            for (int first = 0; first < 6; first++)
            {
                for (int count = 1; count <= 6 - first; count++)
                {
                    float[] some = problem.Run(tile, adds: false, first, count);
                    Assert.Equal(all[(first * problem.Width)..((first + count) * problem.Width)], some);
                }
            }
        }
    }

    [Fact]
    public void A_NaN_stays_in_its_row()
    {
        PairTile tile = Tile();
        foreach (ElementType type in (ElementType[])[ElementType.BFloat16, ElementType.Float32])
        {
            foreach (int depth in (int[])[1, 9, 12])
            {
                using var problem = new Problem(type, 6, 2, depth, flushToEnd: true);
                // First in its row: where the row before it, of odd length, must not look.
                problem.SetA(3, 0, float.NaN);
                float[] sums = problem.Run(tile, adds: false);
                for (int i = 0; i < sums.Length; i++) Assert.Equal(i / problem.Width == 3, float.IsNaN(sums[i]));
            }
        }
    }

    [Fact]
    public void Dot_products_count_subnormal_inputs_as_zero()
    {
        PairTile tile = Tile();
        using var problem = new Problem(ElementType.BFloat16, 2, 1, 9, flushToEnd: true);
        for (int k = 0; k < 9; k++) problem.SetA(1, k, BFloat16Bits.ToSingle(0x7F));
        float[] sums = problem.Run(tile, adds: false);
        for (int i = 0; i < problem.Width; i++)
        {
            Assert.NotEqual(0, sums[i]);
            Assert.Equal(0, sums[problem.Width + i]);
        }
    }

    [Fact]
    public void A_wrong_tile_of_any_kind_is_found_by_the_self_test()
    {
        Tile();
        (string Text, Action<Assembler, int, int, ElementType> Emit)[] mutants =
        [
            ("f32 tile of 2 × 4", (code, rows, strips, type) => Emit(code, rows, strips, type, type == ElementType.Float32 && rows == 2 && strips == 4)),
            ("bf16 tile of 6 × 1", (code, rows, strips, type) => Emit(code, rows, strips, type, type == ElementType.BFloat16 && rows == 6 && strips == 1)),
            ("bf16 tile of 1 × 1", (code, rows, strips, _) => PairTileEmitter.Emit(code, rows, strips, ElementType.Float32)),
            ("bf16 tile of 1 × 1", (code, rows, strips, type) =>
            {
                // Forgets the last element of an odd depth.
                code.and(__qword_ptr[rdi + 48], -2);
                PairTileEmitter.Emit(code, rows, strips, type);
            }),
        ];
        foreach ((string text, Action<Assembler, int, int, ElementType> emit) in mutants)
        {
            PairTile? tile = PairTile.TryCreate(emit, out string? whyNot);
            Assert.Null(tile);
            Assert.Contains(text, whyNot, StringComparison.Ordinal);
        }

        static void Emit(Assembler code, int rows, int strips, ElementType type, bool isBroken)
        {
            // Adds to what c holds although it was told not to.
            if (isBroken) code.mov(__qword_ptr[rdi + 56], 1);
            PairTileEmitter.Emit(code, rows, strips, type);
        }
    }

    [Fact]
    public void A_failed_self_test_leaves_the_next_instruction_set_and_is_reported()
    {
        if (!ProcessorFeatures.HasAvx512) Assert.Skip("The processor has no AVX-512.");
        IReadOnlyList<InstructionSet> table = InstructionSet.CreateTable(null, "the self-test erred", null, "the processor has none");
        InstructionSet chosen = InstructionSet.Select(table, string.Empty, out string reason);
        Assert.Equal("avx512", chosen.Name);
        Assert.EndsWith("; avx512bf16 is off: the self-test erred", reason, StringComparison.Ordinal);
        using var backend = new CpuBackend(new CpuOptions { InstructionSet = string.Empty }, NativeAllocator.Default, instructionSets: table);
        Assert.All(
            backend.Kernels.Where(kernel => kernel.Operation is "attention" or "matrix product" or "elementwise"),
            kernel => Assert.Equal(("avx512", reason), (kernel.Kernel, kernel.Reason)));
        OperatorConformance.Linear(backend, 7, 40, 33, ElementType.BFloat16, ElementType.BFloat16, ElementType.Float32, hasBias: true);
        PlatformNotSupportedException refused = Assert.Throws<PlatformNotSupportedException>(() => InstructionSet.Select(table, "avx512bf16", out _));
        Assert.Contains("the self-test erred", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_matrix_packed_in_pairs_is_refused_by_other_instruction_sets()
    {
        Tile();
        using CpuBackend pairs = InstructionSets.Backend("avx512bf16"), plain = InstructionSets.Backend("vector128");
        using PackedMatrix matrix = pairs.PackMatrix(new TestMatrix(new Random(1), 20, 9, ElementType.BFloat16, false));
        using DeviceBuffer input = plain.Allocate(ElementType.Float32, 9), output = plain.Allocate(ElementType.Float32, 20);
        Assert.Throws<ArgumentException>(() => plain.Linear(input, 1, matrix, output));
        Assert.Throws<ArgumentException>(() => plain.EmbeddingLookup(matrix, [1], 1, output));
        Assert.Throws<ArgumentException>(() => plain.Logits(input, [0], matrix, 1, null, output));
        // The other way round is fine: plain strips are read as before.
        using PackedMatrix strips = plain.PackMatrix(new TestMatrix(new Random(1), 20, 9, ElementType.BFloat16, false));
        using DeviceBuffer expected = plain.Allocate(ElementType.Float32, 20);
        var values = new float[20];
        input.Upload([1, 2, 3, 4, 5, 6, 7, 8, 9]);
        pairs.Linear(input, 1, matrix, output);
        pairs.Linear(input, 1, strips, expected);
        output.Download(values);
        var others = new float[20];
        expected.Download(others);
        Assert.Equal(others, values);
    }

    [Fact]
    public void Collections_on_another_thread_change_nothing()
    {
        PairTile tile = Tile();
        using var problem = new Problem(ElementType.BFloat16, 6, 4, 20_000, flushToEnd: false);
        float[] expected = problem.Run(tile, adds: false);
        bool isDone = false;
        var collector = new Thread(() =>
        {
            // With pauses: back-to-back collections would hardly let the other thread return from its calls.
            while (!Volatile.Read(ref isDone))
            {
                GC.Collect(0);
                Thread.Sleep(1);
            }
        });
        collector.Start();
        try
        {
            int before = GC.CollectionCount(0);
            while (GC.CollectionCount(0) < before + 30) Assert.Equal(expected, problem.Run(tile, adds: false));
        }
        finally
        {
            Volatile.Write(ref isDone, true);
            collector.Join();
        }
    }

    [Fact]
    public void Code_is_executable_but_not_writable_and_goes_when_freed()
    {
        if (!ExecutableMemory.IsSupported) Assert.Skip("Generated code runs on Linux on x64 only.");
        var builder = new CodeBuilder();
        int first = builder.Add(code => code.mov(rax, 41)), second = builder.Add(code => code.lea(rax, __[rdi + 2]));
        using ExecutableMemory memory = builder.Build();
        Assert.Equal(0, second % 64);
        Assert.Equal(41, ((delegate* unmanaged<nint, nint>)(memory.Address + first))(0));
        Assert.Equal(42, ((delegate* unmanaged<nint, nint>)(memory.Address + second))(40));
        nint address = memory.Address;
        Assert.Equal("r-xp", Protection(address));
        memory.Dispose();
        Assert.Throws<ObjectDisposedException>(() => memory.Address);
        Assert.NotEqual("r-xp", Protection(address));
    }

    private static string Protection(nint address)
    {
        foreach (string line in File.ReadLines("/proc/self/maps"))
        {
            string[] parts = line.Split(' ')[0].Split('-');
            if (address >= nint.Parse(parts[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture)
                && address < nint.Parse(parts[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture)) return line.Split(' ')[1];
        }
        return "none";
    }

    private static PairTile Tile()
    {
        if (PairTile.Shared is null) Assert.Skip(PairTile.WhyNotShared!);
        return PairTile.Shared;
    }

    /// <summary>A random product whose operands and result lie against guard pages.</summary>
    private sealed class Problem : IDisposable
    {
        private readonly ElementType _type;
        private readonly int _rows, _strips, _depth, _pairRows;
        private readonly GuardedMemory _a, _b, _c;

        public Problem(ElementType type, int rows, int strips, int depth, bool flushToEnd)
        {
            (_type, _rows, _strips, _depth, _pairRows) = (type, rows, strips, depth, (depth + 1) / 2);
            var random = new Random(rows + 10 * strips + 100 * depth);
            A = RandomTensors.Round(RandomTensors.Normal(random, rows * depth), type);
            _a = new GuardedMemory((nuint)(A.Length * type.SizeInBytes()), flushToEnd);
            _b = new GuardedMemory((nuint)(strips * _pairRows * 2 * TileShape.StripWidth * sizeof(ushort)), flushToEnd);
            _c = new GuardedMemory((nuint)(rows * Width * sizeof(float)), flushToEnd);
            for (int i = 0; i < A.Length; i++) SetA(i / depth, i % depth, A[i]);
            for (int k = 0; k < depth; k++)
            {
                for (int column = 0; column < Width; column++) *AddressOfB(k, column) = BFloat16Bits.FromSingle(random.NextSingle() * 2 - 1);
            }
        }

        public float[] A { get; }

        public int Width => _strips * TileShape.StripWidth;

        public float B(int k, int column) => BFloat16Bits.ToSingle(*AddressOfB(k, column));

        public void SetA(int row, int k, float value)
        {
            if (_type == ElementType.BFloat16) ((ushort*)_a.Pointer)[row * _depth + k] = BFloat16Bits.FromSingle(value);
            else ((float*)_a.Pointer)[row * _depth + k] = value;
        }

        public float[] Run(PairTile tile, bool adds) => Run(tile, adds, 0, _rows);

        public float[] Run(PairTile tile, bool adds, int first, int count)
        {
            var c = new Span<float>(_c.Pointer, count * Width);
            c.Fill(adds ? 3 : float.NaN);
            var arguments = new TileArguments
            {
                A = _a.Pointer + first * _depth * _type.SizeInBytes(),
                AStrideBytes = _depth * _type.SizeInBytes(),
                B = _b.Pointer,
                StripStrideBytes = _pairRows * 2 * TileShape.StripWidth * sizeof(ushort),
                C = (float*)_c.Pointer,
                CStrideBytes = Width * sizeof(float),
                Depth = _depth,
                Adds = adds ? 1 : 0,
            };
            tile[_type].Multiply(count, _strips, ref arguments);
            return c.ToArray();
        }

        public void Verify(PairTile tile, bool adds)
        {
            float[] actual = Run(tile, adds);
            for (int i = 0; i < actual.Length; i++)
            {
                double sum = adds ? 3 : 0, magnitude = sum;
                for (int k = 0; k < _depth; k++)
                {
                    double product = (double)A[i / Width * _depth + k] * B(k, i % Width);
                    sum += product;
                    magnitude += Math.Abs(product);
                }
                // Products are exact. Each of the depth + 1 sums rounds by at most 2^−24 of what it holds, which is at most the magnitude.
                Assert.Equal(sum, actual[i], (_depth + 1) * Math.Pow(2, -24) * magnitude);
            }
        }

        public void Dispose()
        {
            _a.Dispose();
            _b.Dispose();
            _c.Dispose();
        }

        private ushort* AddressOfB(int k, int column) => (ushort*)_b.Pointer
            + ((column / TileShape.StripWidth * _pairRows + k / 2) * TileShape.StripWidth + column % TileShape.StripWidth) * 2 + k % 2;
    }
}
