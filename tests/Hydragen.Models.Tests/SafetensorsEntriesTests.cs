namespace Hydragen.Models.Tests;

public sealed class SafetensorsEntriesTests
{
    private static readonly float[] Values = [1, 2, 3, 4, 5, 6];

    [Fact]
    public void Tensors_that_lie_in_no_file_are_read_from_any_place()
    {
        using WeightStore store = WeightStore.FromEntries("memory", [SafetensorsEntry.FromSingles("a", [2, 3], Values), SafetensorsEntry.FromSingles("b", [1], Values.AsMemory(5))]);
        Assert.Equal((string[])["a", "b"], store.Tensors.Keys.Order());
        Assert.Equal([2L, 3L], store.Tensors["a"].Tensor.Shape);
        WeightTensor tensor = store.Tensors["a"];
        var read = new float[2];
        tensor.File.ReadSingles(tensor.Tensor, 3, read);
        Assert.Equal((float[])[4, 5], read);
        Assert.Throws<ArgumentOutOfRangeException>(() => tensor.File.Read(tensor.Tensor, 20, new byte[8]));
    }

    [Fact]
    public void Names_are_unique_and_shapes_are_checked()
    {
        SafetensorsEntry entry = SafetensorsEntry.FromSingles("a", [6], Values);
        Assert.Throws<ArgumentException>(() => WeightStore.FromEntries("memory", [entry, entry]));
        Assert.Throws<ArgumentException>(() => WeightStore.FromEntries("memory", [entry with { Shape = [-1] }]));
    }
}
