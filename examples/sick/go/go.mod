module sick

go 1.27
