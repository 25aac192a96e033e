namespace Hydragen.Models;

/// <summary>A tensor together with the file that holds it.</summary>
/// <param name="File">An open file.</param>
/// <param name="Tensor">One of its tensors.</param>
public sealed record WeightTensor(SafetensorsFile File, SafetensorsTensor Tensor);
