using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Hydragen.Models.Tests;

public sealed class SafetensorsFileTests
{
    [Fact]
    public void Written_tensors_and_metadata_are_read_back()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("out.safetensors");
        float[] values = [1, -2.5f, float.NaN, float.NegativeInfinity, 0, 6];
        var entry = new SafetensorsEntry("ids", SafetensorsDtype.I64, [3], (offset, destination) =>
            MemoryMarshal.AsBytes<long>([7L, -1, long.MaxValue]).Slice((int)offset, destination.Length).CopyTo(destination));
        var empty = SafetensorsEntry.FromSingles("empty", [0, 4], default);
        SafetensorsWriter.Write(
            path, [SafetensorsEntry.FromSingles("läyer \"1\"", [2, 3], values), empty, entry], new Dictionary<string, string> { ["plan"] = "{\"é\":1}" });

        using SafetensorsFile file = SafetensorsFile.Open(path);
        Assert.Equal("{\"é\":1}", file.Metadata["plan"]);
        Assert.Equal(3, file.Tensors.Count);
        SafetensorsTensor tensor = file.Tensors["läyer \"1\""];
        Assert.Equal([2, 3], tensor.Shape);
        Assert.Equal(0, tensor.ByteOffset % 8);
        var read = new float[4];
        file.Read(tensor, 8, MemoryMarshal.AsBytes(read.AsSpan()));
        Assert.Equal(values[2..], read);
        var ids = new long[3];
        file.Read(file.Tensors["ids"], 0, MemoryMarshal.AsBytes(ids.AsSpan()));
        Assert.Equal([7, -1, long.MaxValue], ids);
    }

    [Fact]
    public void Tensors_larger_than_a_piece_are_streamed()
    {
        using var folder = new TemporaryFolder();
        var values = new float[700_001];
        for (int i = 0; i < values.Length; i++) values[i] = i;
        SafetensorsWriter.Write(folder.File("big.safetensors"), [SafetensorsEntry.FromSingles("x", [700_001], values)]);
        using SafetensorsFile file = SafetensorsFile.Open(folder.File("big.safetensors"));
        var read = new float[values.Length];
        file.Read(file.Tensors["x"], 0, MemoryMarshal.AsBytes(read.AsSpan()));
        Assert.Equal(values, read);
    }

    [Fact]
    public void A_failed_write_leaves_the_old_file_and_no_other()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("out.safetensors");
        SafetensorsWriter.Write(path, [SafetensorsEntry.FromSingles("x", [1], new float[] { 5 })]);
        byte[] before = File.ReadAllBytes(path);
        var failing = new SafetensorsEntry("y", SafetensorsDtype.F32, [4], (_, _) => throw new TimeoutException());
        Assert.Throws<TimeoutException>(() => SafetensorsWriter.Write(path, [failing]));
        Assert.Equal(before, File.ReadAllBytes(path));
        Assert.Single(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Impossible_entries_are_not_written()
    {
        using var folder = new TemporaryFolder();
        SafetensorsEntry one = SafetensorsEntry.FromSingles("x", [1], new float[1]);
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(folder.File("a"), [one, one]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(folder.File("a"), [one with { Name = "__metadata__" }]));
        Assert.Throws<ArgumentException>(() => SafetensorsWriter.Write(folder.File("a"), [one with { Shape = [-1] }]));
        Assert.Throws<ArgumentException>(() => SafetensorsEntry.FromSingles("x", [2], new float[3]));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void Elements_of_every_weight_type_are_widened()
    {
        using var folder = new TemporaryFolder();
        var values = new float[3000];
        for (int i = 0; i < values.Length; i++) values[i] = i - 1500;
        string path = folder.File("types.safetensors");
        SafetensorsWriter.Write(path,
        [
            SafetensorsEntry.FromSingles("f32", [3000], values),
            new SafetensorsEntry("f16", SafetensorsDtype.F16, [3000], (offset, bytes) =>
            {
                for (int i = 0; i < bytes.Length / 2; i++) BitConverter.TryWriteBytes(bytes[(2 * i)..], (Half)values[offset / 2 + i]);
            }),
            new SafetensorsEntry("bf16", SafetensorsDtype.BF16, [3000], (offset, bytes) =>
            {
                for (int i = 0; i < bytes.Length / 2; i++) BitConverter.TryWriteBytes(bytes[(2 * i)..], Core.BFloat16Bits.FromSingle(values[offset / 2 + i]));
            }),
            new SafetensorsEntry("i64", SafetensorsDtype.I64, [1], (_, bytes) => bytes.Clear()),
        ]);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        var read = new float[2900];
        file.ReadSingles(file.Tensors["f32"], 7, read);
        Assert.Equal(values[7..2907], read);
        file.ReadSingles(file.Tensors["f16"], 7, read);
        Assert.Equal(values[7..2907], read);
        file.ReadSingles(file.Tensors["bf16"], 7, read);
        Assert.Equal(values[7..2907].Select(value => Core.BFloat16Bits.ToSingle(Core.BFloat16Bits.FromSingle(value))), read);
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadSingles(file.Tensors["f16"], 101, read));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.ReadSingles(file.Tensors["f16"], -1, read));
        Assert.Throws<ModelFormatException>(() => file.ReadSingles(file.Tensors["i64"], 0, new float[1]));
    }

    [Fact]
    public void Reads_that_leave_the_tensor_are_refused()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = RawSafetensors.Open(
            folder, RawSafetensors.Bytes("""{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[5],"data_offsets":[5,10]}}""", 10));
        SafetensorsTensor tensor = file.Tensors["a"];
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(tensor, -1, new byte[1]));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(tensor, 1, new byte[5]));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Read(tensor, long.MaxValue, new byte[1]));
        var last = new byte[1];
        file.Read(tensor, 4, last);
        Assert.Equal(4, last[0]);
    }

    [Fact]
    public void A_file_truncated_after_it_was_opened_is_an_exception()
    {
        using var folder = new TemporaryFolder();
        using SafetensorsFile file = RawSafetensors.Open(
            folder, RawSafetensors.Bytes("""{"a":{"dtype":"U8","shape":[5000],"data_offsets":[0,5000]}}""", 5000));
        using (var stream = new FileStream(file.Path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) stream.SetLength(1000);
        Assert.Throws<ModelFormatException>(() => file.Read(file.Tensors["a"], 0, new byte[5000]));
    }

    [Fact]
    public void Short_files_folders_and_missing_files_are_refused()
    {
        using var folder = new TemporaryFolder();
        for (int length = 0; length < 8; length++) SafetensorsHeaderTests.AssertRefused(new byte[length]);
        Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(folder.Path));
        Assert.Throws<FileNotFoundException>(() => SafetensorsFile.Open(folder.File("none.safetensors")));
    }

    [Fact]
    public void Links_are_followed_and_link_loops_refused()
    {
        using var folder = new TemporaryFolder();
        RawSafetensors.Open(folder, RawSafetensors.Bytes("{}", 0)).Dispose();
        File.CreateSymbolicLink(folder.File("link"), "test.safetensors");
        SafetensorsFile.Open(folder.File("link")).Dispose();
        File.CreateSymbolicLink(folder.File("loop1"), "loop2");
        File.CreateSymbolicLink(folder.File("loop2"), "loop1");
        Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(folder.File("loop1")));
    }

    [Fact]
    public void Pipes_and_devices_are_refused_without_being_opened()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "pipes and devices have no file names here");
        using var folder = new TemporaryFolder();
        using (Process process = Process.Start("mkfifo", [folder.File("pipe")])) process.WaitForExit();
        Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open(folder.File("pipe")));
        Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open("/dev/zero"));
        Assert.Throws<ModelFormatException>(() => SafetensorsFile.Open("/dev/null"));
    }
}
